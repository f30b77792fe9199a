// Sorts and filters the table of a board; without it the table stands in the order of its ranks.
"use strict";
for (const table of document.querySelectorAll("table.board")) {
  const body = table.tBodies[table.tBodies.length - 1];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];

  const key = (row, index, kind) => {
    const text = row.cells[index].dataset.value;
    if (kind === "text") return text.toLowerCase();
    return text === "" ? NaN : Number(text);
  };

  const sort = (header, index) => {
    const first = header.dataset.first;
    const other = first === "ascending" ? "descending" : "ascending";
    const way = header.getAttribute("aria-sort") === first ? other : first;
    for (const one of headers) one.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const sorted = [...rows].sort((a, b) => {
      const [x, y] = [key(a, index, header.dataset.kind), key(b, index, header.dataset.kind)];
      if (typeof x === "string") return sign * x.localeCompare(y);
      // What has no figure stays last, whichever way.
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y);
    });
    body.append(...sorted);
  };

  headers.forEach((header, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, index));
    header.append(button);
  });

  const form = document.querySelector(".filters");
  if (!form) continue;
  const value = (name) => (form.elements[name] ? form.elements[name].value : "");
  const filter = () => {
    const text = value("text").trim().toLowerCase();
    let shown = 0;
    for (const part of table.tBodies) {
      const kind = part.classList.contains("references") ? "references" : "systems";
      for (const row of part.rows) {
        const fits =
          (!value("kind") || value("kind") === kind) &&
          (!value("preset") || row.dataset.preset === value("preset")) &&
          (!value("zero") || row.dataset.zero === value("zero")) &&
          row.dataset.text.includes(text);
        row.hidden = !fits;
        shown += fits;
      }
    }
    form.querySelector("output").textContent = `${shown} rows`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
}

// The rater's page. No template literals: platforms replace dollar-brace by cells of the sheet.
(function () {
  "use strict";

  const PREVIEW_ID = "ASSIGNMENT_ID_NOT_AVAILABLE";
  const SUBMIT_HOSTS = ["https://www.mturk.com", "https://workersandbox.mturk.com"];
  // A step of the clock of a sound counts as heard when no more of it went by than of the wall clock, in seconds.
  const STEP_SLACK = 0.25;
  const LONGEST_STEP = 2.5;
  // A sound that is let go before this, in seconds, is started and not continued.
  const STARTED = 0.05;
  const LOAD_TRIES = 5;
  const EVENTS_A_POST = 100;
  const LONGEST_WAIT = 30000;
  const REASONS = ["No sound", "It stops or does not load", "It is damaged", "Something else"];

  const find = (id) => document.getElementById(id);
  const root = find("lt");
  const study = JSON.parse(find("lt-study").textContent);
  const query = new URLSearchParams(location.search);
  const form = root.closest("form");
  const mode = root.dataset.mode;
  const assignment = query.get("assignmentId") || (field("assignmentId") || {}).value || "";
  const preview = assignment === PREVIEW_ID;
  const store = "doppelbench:" + [study.id, root.dataset.block, root.dataset.sitting || assignment].join(":");
  const trained = "doppelbench:" + study.id + ":trained";
  const client = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  let screens = [];
  let items = [];
  let at = 0;
  let lastPlayer = null;
  let away = 0;
  let events = [];
  let eventNumber = 0;
  let sending = null;
  let wait = 1000;
  let sound = null;
  let refused = "";

  // --- small helpers

  function make(tag, attributes, children) {
    const element = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([name, value]) => {
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, value);
    });
    (children || []).forEach((child) => element.append(child));
    return element;
  }

  function field(name) {
    return form && form.querySelector("input[name=" + name + "]");
  }

  function say(text) {
    find("lt-status").textContent = text;
  }

  function log(kind, item, value) {
    const event = { n: eventNumber, at: new Date().toISOString(), kind: kind };
    if (item) event.item = item;
    if (value !== undefined) event.value = value;
    eventNumber += 1;
    if (mode === "hosted") events.push(event);
  }

  function read(key) {
    try { return JSON.parse(localStorage.getItem(key)); } catch (error) { return null; }
  }

  function write(key, value) {
    // Storage may be forbidden in a frame of another site; the page then works without resuming.
    try { localStorage.setItem(key, JSON.stringify(value)); } catch (error) { return; }
  }

  function remember() {
    const states = {};
    screens.filter((screen) => screen.isItem).forEach((screen) => { states[screen.key] = screen.state; });
    write(store, { at: screens[at] ? screens[at].key : "", agreed: find("lt-agree").checked, states: states });
  }

  // --- what was heard of a sound: merged stretches of its time line

  function addHeard(heard, start, end) {
    const all = heard.concat([[start, end]]).sort((a, b) => a[0] - b[0]);
    const merged = [];
    all.forEach((part) => {
      const last = merged[merged.length - 1];
      if (last && part[0] <= last[1] + 0.02) last[1] = Math.max(last[1], part[1]);
      else merged.push(part.slice());
    });
    return merged;
  }

  function shareOf(heard, duration) {
    const total = heard.reduce((sum, part) => sum + part[1] - part[0], 0);
    return duration > 0 ? Math.min(1, total / duration) : 0;
  }

  // --- a player

  function makePlayer(screen, role, url, index) {
    const title = study.roles[role];
    const memory = screen.state.sounds[index];
    const media = make(study.modality === "video" ? "video" : "audio", { preload: "none", playsinline: true });
    const play = make("button", { type: "button", class: "lt-play", text: "Play", "aria-label": "Play: " + title });
    const again = make("button", { type: "button", text: "Play again", "aria-label": "Play again: " + title });
    const bar = make("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Position in: " + title });
    const note = make("p", { class: "lt-heard" });
    const retry = make("button", { type: "button", text: "Load again", "aria-label": "Load again: " + title, hidden: true });
    const player = { media: media, memory: memory, role: role, title: title };
    let last = null;
    let lastClock = 0;
    let tries = 0;
    let dragging = false;
    let wanted = false;
    let lastRate = 1;

    function mark() {
      last = media.currentTime;
      lastClock = performance.now();
    }

    function count() {
      if (media.seeking) return;
      if (last === null) {
        if (!media.paused) mark();
        return;
      }
      const step = media.currentTime - last;
      const clock = (performance.now() - lastClock) / 1000;
      const natural = media.playbackRate === 1 && step <= Math.min(LONGEST_STEP, clock + STEP_SLACK);
      if (natural && step > 0 && !media.muted && media.volume > 0) {
        memory.heard = addHeard(memory.heard, last, media.currentTime);
        memory.share = Math.max(memory.share, shareOf(memory.heard, media.duration));
      }
      mark();
    }

    function show() {
      const percent = Math.floor(100 * memory.share);
      const enough = memory.share >= study.share;
      const text = enough ? "Heard" : percent > 0 ? "Heard " + percent + " %" : "Not heard yet";
      if (note.textContent !== text) note.textContent = text;
      if (!dragging && media.duration > 0) bar.value = Math.round((1000 * media.currentTime) / media.duration);
      play.textContent = media.paused || media.ended ? "Play" : "Pause";
      play.setAttribute("aria-label", play.textContent + ": " + title);
      screen.refresh();
    }

    function load() {
      retry.hidden = true;
      media.src = url;
      media.load();
      if (wanted) start();
    }

    function start() {
      wanted = true;
      // Events may come late on a slow machine, when the sound is on its way already.
      mark();
      // Where it could not be loaded the text below the sound says so.
      media.play().catch(() => { if (!media.error && wanted) say("The sound did not start. Please press Play again."); });
    }

    player.prepare = () => {
      if (!media.src) load();
      if (media.preload !== "auto") media.preload = "auto";
    };
    player.stop = () => {
      wanted = false;
      media.pause();
    };
    player.toggle = () => {
      if (!media.paused && !media.ended) {
        player.stop();
        return;
      }
      screens.forEach((other) => (other.players || []).forEach((one) => { if (one !== player) one.stop(); }));
      lastPlayer = player;
      player.prepare();
      if (media.ended || media.currentTime < STARTED) memory.plays += 1;
      start();
    };
    player.replay = () => {
      const running = !media.paused && !media.ended;
      media.currentTime = 0;
      if (running) memory.plays += 1;
      else player.toggle();
    };

    media.addEventListener("play", () => {
      if (last === null) mark();
      log("play", screen.item, role);
      screen.keep();
      show();
    });
    media.addEventListener("playing", count);
    media.addEventListener("timeupdate", () => { count(); show(); });
    media.addEventListener("pause", () => { count(); last = null; log("pause", screen.item, role); screen.keep(); show(); });
    media.addEventListener("ended", () => { wanted = false; count(); last = null; log("ended", screen.item, role); screen.keep(); show(); });
    media.addEventListener("seeking", () => { mark(); log("seek", screen.item, Number(media.currentTime.toFixed(2))); });
    media.addEventListener("seeked", show);
    media.addEventListener("ratechange", () => {
      if (media.playbackRate === 1) return;
      screen.state.rate = Math.max(screen.state.rate, media.playbackRate);
      if (media.playbackRate !== lastRate) log("rate", screen.item, media.playbackRate);
      lastRate = media.playbackRate;
      last = null;
      media.playbackRate = 1;
      say("Only normal speed counts.");
      screen.keep();
    });
    media.addEventListener("error", () => {
      tries += 1;
      log("error", screen.item, role);
      if (tries < LOAD_TRIES) {
        note.textContent = "Loading failed, trying again";
        setTimeout(load, 300 * Math.pow(2, tries));
      } else {
        note.textContent = "This recording cannot be loaded. Try again, or say below what is wrong and go on.";
        retry.hidden = false;
      }
    });
    media.addEventListener("loadedmetadata", () => { tries = 0; show(); });
    play.addEventListener("click", player.toggle);
    again.addEventListener("click", player.replay);
    retry.addEventListener("click", () => { tries = 0; load(); });
    bar.addEventListener("input", () => {
      dragging = true;
      if (media.duration > 0) media.currentTime = (bar.value / 1000) * media.duration;
    });
    bar.addEventListener("change", () => { dragging = false; });
    player.element = make("div", { class: "lt-player" }, [
      make("h3", { text: title }), media,
      make("div", { class: "lt-buttons" }, [play, again, retry]), bar, note,
    ]);
    player.show = show;
    return player;
  }

  // --- an item: one screen

  function blankState(count) {
    const sounds = [];
    for (let index = 0; index < count; index += 1) sounds.push({ plays: 0, heard: [], share: 0 });
    return { answers: {}, problem: "", sounds: sounds, rate: 1, seconds: 0, time: "", revision: 0, dirty: false };
  }

  function makeItem(data, place, heading, training, saved) {
    const roles = Object.keys(study.roles).filter((role) => data[role]);
    const questions = data.questions.split(" ");
    const key = (training ? "training:" : "") + data.item;
    const state = Object.assign(blankState(roles.length), saved[key] || {});
    const screen = { key: key, item: data.item, state: state, training: training, questions: questions, isItem: true };
    const prefix = training ? "practice-" : "";
    const reason = make("p", { id: "lt-reason-" + prefix + place });
    const name = (question) => prefix + question + "_" + place;
    let since = 0;
    let open = null;

    screen.players = roles.map((role, index) => makePlayer(screen, role, data[role], index));
    const fieldsets = questions.map((question) => {
      const asked = study.questions[question];
      return make("fieldset", { "aria-describedby": reason.id, disabled: true }, [
        make("legend", { text: asked.text }),
        make("div", { class: "lt-scale" }, asked.answers.map((answer, index) => make("label", { class: "lt-row" }, [
          make("input", {
            type: "radio", name: name(question), value: answer[0], checked: state.answers[question] === answer[0],
            onchange: () => screen.answer(question, index),
          }),
          make("span", { text: answer[0] === String(index + 1) ? answer[0] + " " + answer[1] : answer[1] }),
        ]))),
      ]);
    });
    const why = make("select", {}, [make("option", { value: "", text: "Nothing is wrong" })].concat(
      REASONS.map((text) => make("option", { value: text, text: text }))));
    const words = make("input", { type: "text", maxlength: 200 });
    const faults = make("details", { class: "lt-problem" }, [
      make("summary", { text: "Something is wrong with this clip" }),
      make("label", { class: "lt-field", text: "What is wrong?" }, [why]),
      make("label", { class: "lt-field", text: "In your words (not required)" }, [words]),
      make("p", { text: "You can then go on without an answer." }),
    ]);
    const hidden = {};
    const evidence = ["plays", "played", "rate", "seconds", "time", "problem"].map((evidenceName) => {
      hidden[evidenceName] = make("input", { type: "hidden", name: evidenceName + "_" + place });
      return hidden[evidenceName];
    });

    const played = () => Math.floor(1000 * Math.min(...state.sounds.map((one) => one.share))) / 1000;
    const plays = () => {
      const rated = screen.players.filter((one) => one.role !== "target" && one.role !== "source");
      return Math.min(...rated.map((one) => one.memory.plays));
    };
    const spent = () => {
      if (since) state.seconds += (performance.now() - since) / 1000;
      since = since ? performance.now() : 0;
      return Math.round(state.seconds * 10) / 10;
    };
    screen.unheard = () => screen.players.filter((one) => one.memory.share < study.share);
    screen.missing = () => (state.problem ? [] : questions.filter((question) => !state.answers[question]));
    screen.evidence = () => ({
      plays: plays(), played: played(), rate: state.rate, seconds: spent(), time: state.time, problem: state.problem,
    });

    // Fields of the form follow the state, so that a platform's own submit sends them.
    screen.keep = () => {
      const values = screen.evidence();
      Object.entries(hidden).forEach(([evidenceName, input]) => { input.value = values[evidenceName]; });
      remember();
    };
    screen.change = () => {
      state.time = new Date().toISOString();
      state.revision = Math.max(state.revision + 1, Date.now());
      state.dirty = !training;
      screen.keep();
      if (training) log("training", screen.item, JSON.stringify(state.answers));
      screen.refresh();
      flush();
    };
    screen.answer = (question, index) => {
      const asked = study.questions[question];
      state.answers[question] = asked.answers[index][0];
      fieldsets[questions.indexOf(question)].querySelectorAll("input")[index].checked = true;
      log("answer", screen.item, question);
      screen.change();
      const left = screen.missing().length;
      say("Chosen: " + asked.answers[index][1] + (left ? ". Please answer the next question." : "."));
    };
    screen.choose = (index) => {
      const focused = questions.findIndex((question, number) => fieldsets[number].contains(document.activeElement));
      const question = questions[focused] || screen.missing()[0] || questions[questions.length - 1];
      if (!open) say(reason.textContent);
      else if (index < study.questions[question].answers.length) screen.answer(question, index);
    };
    screen.toggle = () => {
      const running = screen.players.find((one) => !one.media.paused && !one.media.ended);
      const halfway = screen.players.includes(lastPlayer) && !lastPlayer.media.ended && lastPlayer.media.currentTime > 0;
      (running || (halfway && lastPlayer) || screen.unheard()[0] || screen.players[0]).toggle();
    };
    screen.replay = () => (screen.players.includes(lastPlayer) ? lastPlayer : screen.players[0]).replay();
    screen.refresh = () => {
      const unheard = screen.unheard();
      const now = !preview && !state.problem && unheard.length === 0;
      if (now === open) return;
      fieldsets.forEach((one) => { one.disabled = !now; });
      if (state.problem) reason.textContent = "You said that something is wrong with this clip, so it is not rated.";
      else if (now) reason.textContent = "You can answer now.";
      else reason.textContent = "Locked: first listen to everything above to the end, at normal speed.";
      if (open === false && now) say("You can answer now.");
      open = now;
    };
    screen.ready = () => {
      if (state.problem || screen.missing().length === 0) return "";
      return open ? "Please answer first, or say what is wrong with the clip." : reason.textContent;
    };
    screen.enter = () => {
      since = performance.now();
      log("shown", screen.item, place);
      screen.players.forEach((one) => one.prepare());
      const next = screens[screens.indexOf(screen) + 1];
      if (next && next.players) next.players.forEach((one) => one.prepare());
    };
    screen.leave = () => {
      screen.players.forEach((one) => one.stop());
      spent();
      since = 0;
      if (state.time && !training) {
        state.revision = Math.max(state.revision + 1, Date.now());
        state.dirty = true;
      }
      screen.keep();
      flush();
    };
    screen.clock = (running) => {
      spent();
      since = running ? performance.now() : 0;
    };

    function complain() {
      const before = state.problem;
      state.problem = why.value ? why.value + (words.value.trim() ? ": " + words.value.trim() : "") : "";
      if (before === state.problem) return;
      if (state.problem) {
        state.answers = {};
        fieldsets.forEach((one) => one.querySelectorAll("input").forEach((input) => { input.checked = false; }));
      }
      open = null;
      log("problem", screen.item, state.problem);
      screen.change();
      say(reason.textContent);
    }
    why.addEventListener("change", complain);
    words.addEventListener("change", complain);
    if (state.problem) {
      why.value = REASONS.find((text) => state.problem.startsWith(text)) || REASONS[REASONS.length - 1];
      words.value = state.problem.split(": ").slice(1).join(": ");
      faults.open = true;
    }

    const parts = [make("h2", { tabindex: -1, text: heading })];
    if (!training) {
      parts.push(make("progress", { max: study.count, value: place, "aria-label": "Progress" }));
    }
    parts.push(make("div", { class: "lt-players" }, screen.players.map((one) => one.element)), reason);
    parts.push(...fieldsets, faults);
    if (!training) parts.push(...evidence);
    screen.element = make("section", { class: "lt-screen", hidden: true, "data-unsent": training }, parts);
    find("lt-items").append(screen.element);
    screen.players.forEach((one) => one.show());
    screen.refresh();
    return screen;
  }

  // --- volume and headphones

  function context() {
    if (!sound) sound = new (window.AudioContext || window.webkitAudioContext)();
    sound.resume();
    field("samplerate").value = sound.sampleRate;
    return sound;
  }

  function sounded(buffer) {
    const source = sound.createBufferSource();
    source.buffer = buffer;
    source.connect(sound.destination);
    source.start();
  }

  // Noise with the root mean square of speech at an active level of -26 dB.
  function playLevel() {
    const rate = context().sampleRate;
    const buffer = sound.createBuffer(1, 2 * rate, rate);
    const samples = buffer.getChannelData(0);
    let value = 0;
    let power = 0;
    for (let index = 0; index < samples.length; index += 1) {
      value = 0.9 * value + 0.1 * (2 * Math.random() - 1);
      samples[index] = value;
      power += value * value;
    }
    const gain = 0.05 / Math.sqrt(power / samples.length);
    for (let index = 0; index < samples.length; index += 1) samples[index] *= gain;
    sounded(buffer);
    log("level");
  }

  // Woods et al. (2017): over loudspeakers the tone with opposite phases in the ears cancels and seems the quietest.
  function playTones(order) {
    const rate = context().sampleRate;
    const length = Math.round(0.8 * rate);
    const buffer = sound.createBuffer(2, 4 * length, rate);
    order.forEach((kind, place) => {
      for (let channel = 0; channel < 2; channel += 1) {
        const samples = buffer.getChannelData(channel);
        const gain = (kind === "quiet" ? 0.05 : 0.1) * (kind === "opposite" && channel ? -1 : 1);
        for (let index = 0; index < length; index += 1) {
          const ramp = Math.min(1, index / (0.1 * rate), (length - index) / (0.1 * rate));
          samples[Math.round(place * 1.5 * length) + index] = gain * ramp * Math.sin((2 * Math.PI * 200 * index) / rate);
        }
      }
    });
    sounded(buffer);
  }

  function makeTones() {
    const answers = [];
    const words = ["First", "Second", "Third"];
    [0, 1, 2].forEach((trial) => {
      const order = ["loud", "quiet", "opposite"];
      for (let index = 2; index > 0; index -= 1) {
        const other = Math.floor(Math.random() * (index + 1));
        [order[index], order[other]] = [order[other], order[index]];
      }
      const group = "Group " + (trial + 1);
      find("lt-tones").append(make("fieldset", {}, [
        make("legend", { text: group + ": which tone is the quietest?" }),
        make("button", { type: "button", text: "Play tones", "aria-label": "Play tones: " + group, onclick: () => playTones(order) }),
        make("div", { class: "lt-scale" }, words.map((word, index) => make("label", { class: "lt-row" }, [
          make("input", {
            type: "radio", name: "tones-" + trial, value: index, onchange: () => {
              answers[trial] = order[index] === "quiet";
              const given = answers.filter((right) => right !== undefined);
              field("headphones").value = given.filter((right) => right).length + "/" + given.length;
              log("headphones", "", field("headphones").value);
            },
          }),
          make("span", { text: word }),
        ]))),
      ]));
    });
  }

  // --- saving on the server

  async function post(what, body, last) {
    const answer = await fetch(root.dataset.save + "/" + what, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), keepalive: Boolean(last),
    });
    const values = await answer.json().catch(() => ({}));
    if (answer.ok) return values;
    const error = new Error(values.error || "the server answered " + answer.status);
    error.refused = answer.status >= 400 && answer.status < 500;
    throw error;
  }

  async function send() {
    for (;;) {
      const screen = items.find((one) => one.state.dirty);
      if (!screen) break;
      const state = screen.state;
      const revision = state.revision;
      await post("votes", Object.assign(
        { client: client, revision: revision, item: screen.item, answers: state.answers }, screen.evidence()));
      if (state.revision === revision) state.dirty = false;
      remember();
    }
    while (events.length) {
      const batch = events.slice(0, EVENTS_A_POST);
      await post("events", { client: client, events: batch });
      events = events.slice(batch.length);
    }
  }

  function flush() {
    if (mode !== "hosted") return Promise.resolve();
    if (sending) return sending;
    sending = send().then(() => {
      if (wait > 1000) say("Everything is saved.");
      wait = 1000;
      refused = "";
    }).catch((error) => {
      refused = error.refused ? "The server refused an answer: " + error.message : "";
      say(refused || "Not saved on the server yet; trying again. Your answers are kept on this device.");
      wait = Math.min(2 * wait, LONGEST_WAIT);
      setTimeout(flush, wait);
    }).finally(() => { sending = null; });
    return sending;
  }

  // --- moving between screens

  function show(index, quiet) {
    if (screens[at] && screens[at].leave && !screens[at].element.hidden) screens[at].leave();
    screens.forEach((screen, number) => { screen.element.hidden = number !== index; });
    at = index;
    const screen = screens[at];
    const end = at === screens.length - 1;
    find("lt-back").disabled = at === 0 || preview;
    find("lt-next").disabled = preview;
    find("lt-next").hidden = end;
    find("lt-submit").hidden = !end;
    find("lt-submit").disabled = !end || preview || !complete();
    if (at > 0) find("lt-help").open = false;
    if (screen.enter) screen.enter();
    remember();
    if (!quiet) {
      say("");
      screen.element.querySelector("h2").focus();
      window.scrollTo(0, 0);
    }
  }

  function move(step) {
    if (preview) return;
    const next = at + step;
    if (next < 0 || next >= screens.length) return;
    const reason = step > 0 && screens[at].ready ? screens[at].ready() : "";
    if (reason) {
      say(reason);
      return;
    }
    show(next);
  }

  function complete() {
    return items.length > 0 && items.every((screen) => screen.missing().length === 0);
  }

  function onKey(event) {
    const target = event.target;
    const kind = target.tagName === "INPUT" ? target.type : target.tagName.toLowerCase();
    if (event.key === "Enter" && ["radio", "checkbox", "text", "range", "select"].includes(kind)) event.preventDefault();
    if (event.ctrlKey || event.altKey || event.metaKey || !find("lt-shortcuts").checked || preview) return;
    if (["text", "textarea", "select", "range"].includes(kind)) return;
    const item = screens[at].isItem ? screens[at] : null;
    if (event.key === "ArrowRight" && kind !== "radio") move(1);
    else if (event.key === "ArrowLeft" && kind !== "radio") move(-1);
    else if (!item || event.repeat) return;
    else if (event.key === " " && !["button", "submit", "summary", "radio", "checkbox"].includes(kind)) item.toggle();
    else if (event.key === "r" || event.key === "R") item.replay();
    else if (/^[1-9]$/.test(event.key)) item.choose(Number(event.key) - 1);
    else return;
    event.preventDefault();
  }

  function shownAnswers() {
    return Array.from(new FormData(form), ([name, value]) => name + " = " + value).join("\n");
  }

  async function onSubmit(event) {
    if (preview || at !== screens.length - 1 || !complete()) {
      event.preventDefault();
      return;
    }
    field("away").value = away;
    items.forEach((screen) => screen.keep());
    if (mode === "platform") {
      document.querySelectorAll("[data-unsent]").forEach((element) => element.remove());
      try { localStorage.removeItem(store); } catch (error) { return; }
      return;
    }
    event.preventDefault();
    if (mode === "preview") {
      find("lt-answers").textContent = shownAnswers();
      find("lt-answers").hidden = false;
      return;
    }
    find("lt-submit").disabled = true;
    await flush();
    await flush();
    const details = { client: client };
    ["headphones", "samplerate", "pointer", "agent", "away"].forEach((name) => { details[name] = field(name).value; });
    details.comment = find("lt-comment").value;
    try {
      if (items.some((screen) => screen.state.dirty)) throw new Error(refused || "some answers are not saved yet");
      await post("finish", details);
      try { localStorage.removeItem(store); } catch (error) { wait = 1000; }
      location.reload();
    } catch (error) {
      say("Your answers could not be sent: " + error.message + ". Please try again.");
      find("lt-submit").disabled = false;
    }
  }

  function build() {
    const local = read(store) || {};
    const saved = Object.assign({}, local.states);
    // Somebody may have gone on with another device.
    Object.entries(JSON.parse(root.dataset.state || "{}")).forEach(([key, state]) => {
      if (!saved[key] || state.revision > saved[key].revision) saved[key] = state;
    });
    const places = Array.from(find("lt-places").children, (element) => element.dataset);
    const practice = read(trained) && mode !== "hosted" ? [] : places.filter((data) => data.training && data.item);
    const real = places.filter((data) => !data.training && data.item);
    study.count = real.length;
    find("lt-agree").checked = Boolean(local.agreed);
    find("lt-agree").addEventListener("change", () => {
      log("consent", "", find("lt-agree").checked ? 1 : 0);
      remember();
    });
    screens = [
      {
        key: "consent", element: find("lt-consent"),
        ready: () => (find("lt-agree").checked ? "" : "Please tick the box to take part."),
      },
      { key: "check", element: find("lt-check") },
    ];
    practice.forEach((data, index) => {
      screens.push(makeItem(data, index, "Practice " + (index + 1) + " of " + practice.length, true, saved));
    });
    real.forEach((data, index) => {
      items.push(makeItem(data, index, (index + 1) + " of " + real.length, false, saved));
    });
    screens = screens.concat(items, [{
      key: "finish", element: find("lt-finish"), enter: () => write(trained, true),
    }]);
    field("pointer").value = matchMedia("(pointer: coarse)").matches ? "coarse" : "fine";
    field("agent").value = navigator.userAgent.slice(0, 300);
    find("lt-level").addEventListener("click", playLevel);
    makeTones();
    find("lt-back").addEventListener("click", () => move(-1));
    find("lt-next").addEventListener("click", () => move(1));
    document.addEventListener("keydown", onKey);
    document.addEventListener("visibilitychange", () => {
      const hidden = document.visibilityState === "hidden";
      away += hidden ? 1 : 0;
      log(hidden ? "hidden" : "visible");
      if (screens[at].clock) screens[at].clock(!hidden);
      if (hidden) flush();
    });
    window.addEventListener("pagehide", () => {
      if (screens[at].isItem) screens[at].keep();
      if (events.length && mode === "hosted") {
        post("events", { client: client, events: events.slice(0, EVENTS_A_POST) }, true).catch(() => null);
      }
    });
    if (form) {
      form.addEventListener("submit", onSubmit);
      const host = query.get("turkSubmitTo");
      if (field("assignmentId") && assignment) field("assignmentId").value = assignment;
      if (form.hasAttribute("action") && SUBMIT_HOSTS.includes(host)) form.action = host + "/mturk/externalSubmit";
    }
    if (preview) {
      find("lt-preview").hidden = false;
      root.querySelectorAll("button, input, textarea, select").forEach((element) => { element.disabled = true; });
    }
    // On another device there is nothing local, but what the server has says where to go on.
    const first = items.find((screen) => screen.missing().length);
    const done = items.some((screen) => screen.state.time);
    const key = local.at || (done ? (first ? first.key : "finish") : "consent");
    if (done && !local.at) find("lt-agree").checked = true;
    show(Math.max(0, preview ? 0 : screens.findIndex((screen) => screen.key === key)), true);
    if (!preview) setInterval(flush, 5000);
    flush();
  }

  build();
})();

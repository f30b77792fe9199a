"""A server as a process of its own, so that a test can kill it: folder, port."""

import sys
from pathlib import Path

from doppelbench.listening.server import Settings, serve

serve(Path(sys.argv[1]), port=int(sys.argv[2]), settings=Settings(owner="owner"))

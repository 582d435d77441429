"""Start the demo agent: python agent.py [--role ROLE] [--seed N] [--pace WORDS] (see `serve`).

Standard library and the files beside this one only. It is an agent like any other: it knows nothing of who controls it.
"""

import sys
from os.path import abspath, dirname

# This folder goes and the source root comes last, so that nothing in either stands in for the standard library.
sys.path[:] = [entry for entry in sys.path if abspath(entry or ".") != dirname(abspath(__file__))]
sys.path.append(dirname(dirname(dirname(dirname(abspath(__file__))))))

from mission_control_desktop.orchestrator.demo.serve import main  # noqa: E402

sys.exit(main())

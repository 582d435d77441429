"""python -I -S start.py DIR: start a keeper (see `keeper`).

Not keeper.py itself, because Python keeps no byte code of the file it is started with: compiling that one anew costs
each keeper 3 MB for as long as it lives.
"""

import sys
from os.path import abspath, dirname

# At the end: what else lies in that folder (site-packages, when installed) must not stand in for the standard library.
sys.path.append(dirname(dirname(dirname(dirname(abspath(__file__))))))

from mission_control_desktop.orchestrator.keeper.keeper import main

sys.exit(main())

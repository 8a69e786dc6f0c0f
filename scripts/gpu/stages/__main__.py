"""One stage in a process of its own: `python -m stages NAME MODULE CONTEXT`."""

import importlib
import json
import sys
import traceback
from pathlib import Path

from results import Failure, Results, Skip
from settings import Context

SKIPPED = 75


def main():
    stage, module, path = sys.argv[1:]
    context = Context(**json.loads(Path(path).read_text()))
    try:
        importlib.import_module(f"stages.{module}").run(context, Results(f"{context.out}/results.jsonl", stage), stage)
    except Skip as reason:
        print(reason)
        return SKIPPED
    except Failure as reason:
        print(reason, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

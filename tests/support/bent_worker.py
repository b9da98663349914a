"""The worker's process with one thing bent: its clock (`later DAYS`), or a batch that never ends (`stuck`)."""

import asyncio
import sys
from datetime import timedelta

from callweave.logs import configure_logs
from callweave.roles.hosting import utc_now
from callweave.roles.worker import worker_role
from callweave.settings import load_settings
from streams import worker as shell


async def never_ends(*_: object) -> None:
    await asyncio.Event().wait()


def main() -> int:
    settings = load_settings()
    configure_logs(settings.log, "worker")
    match sys.argv[1:]:
        case ["later", days]:
            return worker_role(settings, supervised=False, now=lambda: utc_now() + timedelta(days=int(days)))
        case ["stuck"]:
            shell.absorb_batch = never_ends  # type: ignore[assignment]
            return worker_role(settings, supervised=False)
        case other:
            raise SystemExit(f"later DAYS or stuck, not {other}")


if __name__ == "__main__":
    sys.exit(main())

"""The demo's second half: TCCC's API, simulated from the same ledger, is asked for what the pushes did not bring.

It runs the same `callweave reconcile` that users run, as a process of its own, with the SDK that Tencent ships.
"""

import asyncio
import os
import sys
from pathlib import Path

from callweave.child import die_with_parent
from callweave.settings import Settings
from callweave.simulator.api.access import DEFAULT_SECRET
from callweave.simulator.api.server import ApiOptions, serve_api
from callweave.simulator.ledger import LedgerSession, iterate_ledger

LOOK_BACK = "4d"
"""Longer than the days in which the demo's calls lie."""


async def reconcile_with_simulated_api(settings: Settings, *, config: Path | None, ledger: Path) -> int:
    """Serve the API, ask it once for the days of the ledger; the exit status of `callweave reconcile`."""
    applications = sorted({line.sdk_app_id for line in iterate_ledger(ledger) if isinstance(line, LedgerSession)})
    command = [sys.executable, "-m", "callweave", "reconcile", "--from", LOOK_BACK, "--data", str(settings.data_dir)]
    if config is not None:
        command += ["--config", str(config)]
    async with serve_api(ApiOptions(ledger=ledger)) as api:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={
                "CALLWEAVE_LOG__LEVEL": "warning",
                **os.environ,
                "CALLWEAVE_API__SECRET_ID": DEFAULT_SECRET.secret_id,
                "CALLWEAVE_API__SECRET_KEY": DEFAULT_SECRET.secret_key,
                "CALLWEAVE_API__ENDPOINT": f"http://{api.endpoint}",
                "CALLWEAVE_API__SDK_APP_IDS": ",".join(map(str, applications)),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        return await process.wait()

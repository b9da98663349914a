"""TCCC as it is documented to behave, from its own scenario to its own ledger. A stranger to the other rooms."""

from callweave.simulator.faults import FAULTS, FaultError, parse_faults
from callweave.simulator.ledger import LedgerError
from callweave.simulator.oauth import TokenRequest
from callweave.simulator.run import Progress, SimulationError, SimulationOptions, SimulationReport, simulate

__all__ = [
    "FAULTS",
    "FaultError",
    "LedgerError",
    "Progress",
    "SimulationError",
    "SimulationOptions",
    "SimulationReport",
    "TokenRequest",
    "parse_faults",
    "simulate",
]

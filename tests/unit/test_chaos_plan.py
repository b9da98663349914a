"""The plan of `make chaos`: the same seed strikes the same, and what there is to strike is struck."""

from tests.faults.chaos.plan import Playground, draw_plan, kinds

PLAYGROUND = Playground(
    roles=("receiver", "worker-1", "worker-2", "loader-duckdb"),
    loaders=("loader-duckdb",),
    links=("door", "work", "load"),
    has_postgres=True,
)


def test_a_seed_is_a_plan() -> None:
    assert draw_plan(7, 180, kinds(PLAYGROUND)) == draw_plan(7, 180, kinds(PLAYGROUND))
    assert draw_plan(7, 180, kinds(PLAYGROUND)) != draw_plan(8, 180, kinds(PLAYGROUND))


def test_every_kind_strikes_within_two_minutes_and_every_target_within_five() -> None:
    offered = kinds(PLAYGROUND)
    for seed in range(20):
        assert {strike.fault for strike in draw_plan(seed, 120, offered)} == {kind.fault for kind in offered}
        assert {(strike.fault, strike.target) for strike in draw_plan(seed, 300, offered)} == {
            (kind.fault, target) for kind in offered for target in kind.targets
        }


def test_nobody_is_struck_while_struck_and_all_is_over_in_time() -> None:
    for seed in range(20):
        free_at: dict[str, float] = {}
        for strike in draw_plan(seed, 300, kinds(PLAYGROUND)):
            assert strike.at >= free_at.get(strike.target, 0.0)
            free_at[strike.target] = strike.at + strike.seconds
            assert free_at[strike.target] <= 300

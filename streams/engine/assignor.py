"""Override of Faust's assignor: no assignment is made of a cluster that is only half known (found by the trials)."""

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor
from typing_extensions import override

from streams.engine.halt import exit_for_restart


class WholeAssignor(PartitionAssignor):
    """Row 14: `faust/assignor/partition_assignor.py` `_get_copartitioned_groups` ignores topics that metadata lacks.

    A broker that has just started tells of some topics, or of none, for a moment. Upstream's leader then hands out
    nothing, to nobody, with a line in the log; and as nothing is wrong with such a group, nothing changes until
    somebody joins or leaves: the pipeline stands still for good. Here the leader starts anew and asks again.
    """

    @override
    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> Any:
        subscribed = {topic for member in member_metadata.values() for topic in member.subscription}
        unknown = sorted(topic for topic in subscribed if not cluster.partitions_for_topic(topic))
        if unknown:
            exit_for_restart("Kafka tells nothing of topics that are to be assigned", topics=unknown)
        return super()._perform_assignment(cluster, member_metadata)

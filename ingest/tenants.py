"""Several accounts at one door: the credentials that a push brings tell whose it is.

The rule: every tenant's credentials are compared, whoever's are right; nobody learns from the time which exist.
"""

from collections.abc import Sequence

from ingest.auth import Authenticator, Authorised, Presented, Refused, Tenant, Undecided, Verdict


class TenantsAuthenticator:
    """Authorises a push for the tenants whose credentials it brings: one, unless a sender holds several."""

    def __init__(self, tenants: Sequence[tuple[Tenant, Authenticator]]) -> None:
        if not tenants:
            raise ValueError("without tenants there is nobody to authorise")
        self._tenants = tuple(tenants)

    async def authorise(self, presented: Presented) -> Verdict:
        """Authorise what any tenant's authenticator authorises."""
        opened: list[Tenant] = []
        expiries: list[float] = []
        refusals: list[Refused] = []
        is_undecided = False
        for tenant, authenticator in self._tenants:
            match await authenticator.authorise(presented):
                case Authorised(named, expires_at):
                    expiries += [] if expires_at is None else [expires_at]
                    opened += [one for one in named or (tenant,) if one == tenant]
                case Refused() as refusal:
                    refusals.append(refusal)
                case Undecided():
                    is_undecided = True
        if opened:
            return Authorised(tuple(opened), expires_at=max(expiries, default=None))
        if is_undecided:
            return Undecided()
        return Refused(
            ", ".join(dict.fromkeys(refusal.challenge for refusal in refusals)),
            has_expired=any(refusal.has_expired for refusal in refusals),
        )

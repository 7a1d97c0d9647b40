"""What a comparison can see: pairs needed for a difference, and what a standard error can show.

Independent pairs follow the normal approximation of McNemar's test; any other statistic needs only
its standard error. Knows no suite: how many probes share a cluster, and how alike they are, comes
from the caller. Everywhere `power` is the share of runs that are to say so, `alpha` the level of
the two-sided test, `margin` that of the verdict, a fraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist

POWER = 0.8
ALPHA = 0.05
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Achieved:
    """What a finished comparison could have seen, from its own standard error.

    Attributes:
        standard_error: of the difference, clusters as units.
        detectable: true difference that is significant in 80 % of such runs.
        regressed: true loss that is called "regressed" in 80 % of such runs.
        margin: smallest margin at which equal models are "within noise" in 80 % of such runs.
        clusters: clusters that would bring "within noise" to the margin in use; None with margin 0.
        design_effect: variance over that of independent probes; None where those would have none.
    """

    standard_error: float
    detectable: float
    regressed: float
    margin: float
    clusters: int | None
    design_effect: float | None


def quantile(share: float) -> float:
    """Quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(share)


def multiplier(power: float = POWER, alpha: float = ALPHA) -> float:
    """Standard errors in a detectable difference: z(1 - alpha/2) + z(power), 2.801585 as a rule."""
    return quantile(1 - alpha / 2) + quantile(power)


def pairs_needed(
    difference: float, discordant: float, *, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Independent pairs after which McNemar's test finds a difference; round up to use it.

    n = (z(1 - alpha/2) sqrt(pd) + z(power) sqrt(pd - delta^2))^2 / delta^2 (Miettinen 1968).

    Args:
        difference: delta to detect, a fraction; its sign does not matter.
        discordant: pd, expected share of pairs with different outcomes.
        power: share of runs in which the difference is to be found.
        alpha: level of the two-sided test.

    Raises:
        ValueError: there is no difference to find, or it is larger than the discordant share, or
            that is no share.
    """
    size = abs(difference)
    if not 0 < size <= discordant <= 1:
        raise ValueError(
            "a difference to detect lies above 0 and is at most the share of discordant pairs, "
            "which is at most 1"
        )
    spread = quantile(1 - alpha / 2) * sqrt(discordant)
    spread += quantile(power) * sqrt(max(0.0, discordant - size**2))
    return (spread / size) ** 2


def design_effect(per_cluster: float, correlation: float) -> float:
    """How much clustering inflates the variance: 1 + (q - 1) rho.

    Args:
        per_cluster: q, probes of a cluster.
        correlation: rho, intra-cluster correlation of the paired differences.
    """
    return 1 + (per_cluster - 1) * correlation


def clusters_needed(pairs: int, per_cluster: int, correlation: float) -> int:
    """Clusters that hold as much information as some independent pairs.

    Args:
        pairs: independent pairs needed, rounded up.
        per_cluster: q, probes of a cluster.
        correlation: rho, intra-cluster correlation of the paired differences.
    """
    return _up(pairs * design_effect(per_cluster, correlation) / per_cluster)


def detectable_by_error(error: float, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Smallest true difference that is significant with the given power: 2.801585 SE by default.

    The standard error may be that of any linear statistic.
    """
    return multiplier(power, alpha) * error


def loss_called_regressed(error: float, margin: float, *, power: float = POWER) -> float:
    """True loss that is called "regressed" with the given power: m + 2.801585 SE by default.

    A smaller loss may be significant and still lie inside the margin.
    """
    return margin + detectable_by_error(error, power=power)


def error_for_within_noise(margin: float, *, power: float = POWER) -> float:
    """Largest standard error at which equal models are "within noise": m / 3.241515 by default.

    Both bounds must lie inside the margin, so each of them in (1 + power) / 2 of the runs.
    """
    return margin / multiplier((1 + power) / 2)


def clusters_for_error(error: float, clusters: int, wanted: float) -> int:
    """Clusters after which an error seen with some clusters shrinks to the wanted one, above 0."""
    return _up(clusters * (error / wanted) ** 2)


def achieved(
    error: float, clusters: int, margin: float, independent: float | None = None
) -> Achieved:
    """What a comparison with this standard error can see.

    Args:
        error: standard error of the difference, above 0.
        clusters: of the comparison.
        margin: in use, a fraction.
        independent: standard error if the same probes were independent; None or 0 where unknown.
    """
    wanted = error_for_within_noise(margin)
    return Achieved(
        standard_error=error,
        detectable=detectable_by_error(error),
        regressed=loss_called_regressed(error, margin),
        margin=error / error_for_within_noise(1.0),
        clusters=clusters_for_error(error, clusters, wanted) if margin > 0 else None,
        design_effect=(error / independent) ** 2 if independent else None,
    )


def _up(number: float) -> int:
    """Rounded up, except for what rounding errors add to a whole number."""
    return ceil(number - _ROUNDING)

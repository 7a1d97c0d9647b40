"""Statistics against scipy and statsmodels, to 1e-9, wherever they have the function.

statsmodels is compared where it is installed.
"""

import warnings

import numpy as np
import pytest
from scipy import stats

from qwen_bench.stats.bootstrap import standard_error
from qwen_bench.stats.clusters import index_rows
from qwen_bench.stats.intervals import wilson
from qwen_bench.stats.isotonic import non_increasing
from qwen_bench.stats.power import quantile
from qwen_bench.stats.significance import (
    holm,
    mcnemar_loss_p,
    mcnemar_mid_p,
    mcnemar_p,
    sign_flip,
)
from qwen_bench.stats.survival import kaplan_meier

EXACT = {"rel": 0, "abs": 1e-9}
FLIPS = [(0, 1), (1, 9), (0, 6), (3, 12), (10, 25), (4, 10), (5, 5), (40, 60), (300, 251)]


def statsmodels(name):
    """A module of statsmodels; it and pandas warn of one another on import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(f"statsmodels.{name}")


@pytest.mark.parametrize(("gained", "lost"), FLIPS)
def test_mcnemar_is_the_binomial_test_of_scipy(gained, lost):
    n = gained + lost
    binomial = stats.binom(n, 0.5)

    assert mcnemar_p(gained, lost) == pytest.approx(stats.binomtest(gained, n).pvalue, **EXACT)
    one_sided = stats.binomtest(lost, n, alternative="greater").pvalue
    assert mcnemar_loss_p(gained, lost) == pytest.approx(one_sided, **EXACT)
    fewer = min(gained, lost)
    mid = min(1.0, 2 * binomial.cdf(fewer) - binomial.pmf(fewer))
    assert mcnemar_mid_p(gained, lost) == pytest.approx(mid, **EXACT)


@pytest.mark.parametrize(("gained", "lost"), FLIPS)
def test_mcnemar_is_that_of_statsmodels(gained, lost):
    tables = statsmodels("stats.contingency_tables")

    found = tables.mcnemar([[50, lost], [gained, 30]], exact=True)

    assert mcnemar_p(gained, lost) == pytest.approx(found.pvalue, **EXACT)


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (8, 10), (45, 50), (171, 200), (1, 1)])
def test_wilson_is_that_of_scipy_and_statsmodels(correct, n):
    known = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((known.low, known.high), **EXACT)

    proportion = statsmodels("stats.proportion")
    found = proportion.proportion_confint(correct, n, method="wilson")
    assert wilson(correct, n) == pytest.approx(found, **EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed):
    multitest = statsmodels("stats.multitest")
    raw = np.round(np.random.default_rng(seed).random(12) ** 3, 3)

    found = multitest.multipletests(raw, method="holm")[1]

    assert holm(raw.tolist()) == pytest.approx(found, **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_sign_flip_test_is_the_permutation_test_of_scipy(seed):
    values = np.random.default_rng(seed).normal(0.4, 1, size=10)

    found = {
        side: stats.permutation_test(
            (values,),
            lambda x, axis: x.sum(axis=axis),
            permutation_type="samples",
            alternative=side,
            n_resamples=np.inf,
        ).pvalue
        for side in ("two-sided", "less")
    }

    p = sign_flip(values)
    assert (p.two_sided, p.loss) == pytest.approx((found["two-sided"], found["less"]), **EXACT)


def test_the_standard_error_is_the_cluster_robust_one_of_statsmodels():
    linear = statsmodels("regression.linear_model")
    generator = np.random.default_rng(8)
    sizes = generator.integers(1, 9, size=40)
    names = [f"mixed-{place:03d}" for place, size in enumerate(sizes) for _ in range(size)]
    values = generator.integers(-1, 2, size=len(names))
    index = index_rows(names, ["family"] * len(names))

    found = linear.OLS(values, np.ones(len(names))).fit(
        cov_type="cluster", cov_kwds={"groups": index.cluster, "use_correction": True}
    )

    # For a mean, K / (K - 1) is the whole of the small-sample correction.
    table = index.table(values, np.ones(len(names), dtype=bool))
    assert standard_error(table) == pytest.approx(found.bse[0], **EXACT)


@pytest.mark.parametrize("seed", range(3))
def test_the_isotonic_fit_is_that_of_scipy(seed):
    from scipy.optimize import isotonic_regression

    generator = np.random.default_rng(seed)
    values, weights = generator.random(12), generator.integers(1, 200, size=12)

    found = isotonic_regression(values, weights=weights, increasing=False).x

    assert non_increasing(values.tolist(), weights.tolist()) == pytest.approx(found, **EXACT)


def test_survival_is_that_of_statsmodels():
    survival = statsmodels("duration.survfunc")
    generator = np.random.default_rng(4)
    lengths = (1, 2, 4, 8, 16, 32)
    last, ended = generator.choice(lengths, size=60), generator.integers(0, 2, size=60)

    found = survival.SurvfuncRight(last, ended)

    observed = [(1, int(t), bool(e)) for t, e in zip(last, ended, strict=True)]
    ours = kaplan_meier(observed, lengths)
    known = dict(zip(found.surv_times, found.surv_prob, strict=True))
    assert [ours[int(t)].survival for t in known] == pytest.approx(list(known.values()), **EXACT)


@pytest.mark.parametrize("share", [0.025, 0.1, 0.5, 0.8, 0.9, 0.975, 0.999])
def test_normal_quantiles_are_those_of_scipy(share):
    assert quantile(share) == pytest.approx(stats.norm.ppf(share), **EXACT)

"""Alignment losses: reference values pair by pair, edge cases, transformations and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from lightman_jax.losses import alignment
from lightman_jax.losses.alignment import ALIGNMENT_LOSSES, alignment_loss
from lightman_jax.losses.pairs import alignment_where
from lightman_jax.losses.soft_dtw import soft_dtw

T, MARGIN = 0.3, 0.4
compiled_loss = jax.jit(alignment_loss, static_argnames=("form", "temperature", "margin", "stop_macro"))
compiled_soft_dtw = jax.jit(soft_dtw)


def unit(rng, *shape):
    values = rng.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def embeddings(rng, form, n, length=4):
    """Random unit vectors in the shape that the form compares."""
    middle = {"spatial": (2, 3), "temporal": (3,)}.get(form, ())
    return unit(rng, n, *middle, length)


def soft_dtw_reference(cost, gamma):
    table = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    table[0, 0] = 0
    for i in range(cost.shape[0]):
        for j in range(cost.shape[1]):
            before = np.array([table[i, j], table[i, j + 1], table[i + 1, j]])
            finite = before[np.isfinite(before)]
            table[i + 1, j + 1] = cost[i, j] - gamma * np.log(np.exp(-finite / gamma).sum())
    return table[-1, -1]


def kernel(a, b):
    return np.exp(-0.5 * ((a - b) ** 2).sum())


def reference(u, yu, v, yv, form):
    """Losses computed one clip and one pair at a time."""
    result = np.zeros(len(u))
    for i in range(len(u)):
        own = [v[m] for m in range(len(v)) if yv[m] == yu[i]]
        others = [v[m] for m in range(len(v)) if yv[m] != yu[i]]
        peers = [u[j] for j in range(len(u)) if yu[j] == yu[i]]
        if not own:
            continue
        if form == "contrastive":
            total = sum(np.exp(u[i] @ w / T) for w in v)
            values = [-np.log(np.exp(u[i] @ p / T) / total) for p in own]
        elif form == "cosine":
            values = [1 - u[i] @ p for p in own]
        elif form == "l2":
            values = [((u[i] - p) ** 2).sum() for p in own]
        elif form == "prototype":
            centres = {k: np.mean([v[m] for m in range(len(v)) if yv[m] == k], axis=0) for k in set(yv)}
            weight = {k: np.exp(-((u[i] - c) ** 2).sum() / T) for k, c in centres.items()}
            values = [-np.log(weight[yu[i]] / sum(weight.values()))]
        elif form == "triplet":
            values = [max(0.0, MARGIN + u[i] @ q - u[i] @ p) for p in own for q in others]
        elif form == "mmd":
            among = np.mean([kernel(p, q) for p in own for q in own])
            values = [np.mean([kernel(u[i], w) for w in peers]) - 2 * np.mean([kernel(u[i], p) for p in own]) + among]
        elif form == "spatial":
            values = [np.mean(1 - (u[i] * p).sum(axis=-1)) for p in own]
        elif form == "temporal":
            values = [soft_dtw_reference(1 - u[i] @ p.T, T) / max(len(u[i]), len(p)) for p in own]
        result[i] = np.mean(values)
    return result


def loss(u, yu, v, yv, form, **settings):
    as_label = lambda y: jnp.asarray(y, jnp.int32)  # noqa: E731
    return compiled_loss(
        jnp.asarray(u), as_label(yu), jnp.asarray(v), as_label(yv), form=form, temperature=T, margin=MARGIN, **settings
    )


@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_loss_equals_its_formula_pair_by_pair(x64, form):
    rng = np.random.default_rng(0)
    yu, yv = np.array([0, 1, 2, 3, 0]), np.array([0, 0, 1, 1, 2, 2, 0])
    u, v = embeddings(rng, form, 5), embeddings(rng, form, 7)
    if form == "temporal":
        v = unit(rng, 7, 5, 4)
    value = loss(u, yu, v, yv, form)
    np.testing.assert_allclose(value, reference(u, yu, v, yv, form), atol=1e-12)
    assert value[3] == 0
    assert alignment_where(jnp.asarray(yu), jnp.asarray(yv)).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_dispatch_by_name_calls_the_function_with_its_options(form):
    rng = np.random.default_rng(5)
    u, v = (jnp.asarray(embeddings(rng, form, 3), jnp.float32) for _ in range(2))
    yu, yv = jnp.array([0, 1, 0]), jnp.array([0, 1, 1])
    names = {"contrastive": "temperature", "prototype": "temperature", "temporal": "temperature", "triplet": "margin"}
    given_options = {names[form]: {"temperature": T, "margin": MARGIN}[names[form]]} if form in names else {}
    function = ALIGNMENT_LOSSES[form]
    assert function is getattr(alignment, form)

    @jax.jit
    def losses(u, v):
        direct = function(u, yu, v, yv, **given_options), function(u, yu, v, yv)
        named = alignment_loss(u, yu, v, yv, form=form, temperature=T, margin=MARGIN)
        return *direct, named, alignment_loss(u, yu, v, yv, form=form)

    direct, default, named, named_default = losses(u, v)
    np.testing.assert_array_equal(direct, named)
    np.testing.assert_array_equal(default, named_default)
    assert np.any(direct != default) == bool(given_options)


def test_mean_mmd_loss_is_the_squared_mmd_of_the_class(x64):
    rng = np.random.default_rng(8)
    u, v = unit(rng, 4, 3), unit(rng, 6, 3)
    mean = lambda a, b: np.mean([kernel(x, y) for x in a for y in b])  # noqa: E731
    expected = mean(u, u) - 2 * mean(u, v) + mean(v, v)
    np.testing.assert_allclose(loss(u, np.zeros(4), v, np.zeros(6), "mmd").mean(), expected, atol=1e-12)


@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_padding_clip_order_and_class_numbers_do_not_change_the_loss(x64, form):
    rng = np.random.default_rng(1)
    u, v = embeddings(rng, form, 4), embeddings(rng, form, 5)
    yu, yv = np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0, 1])

    def padded(u, v):
        with_nan = lambda x, n: jnp.concatenate([jnp.asarray(x), jnp.full((n, *x.shape[1:]), jnp.nan)])  # noqa: E731
        masks = {"where": jnp.arange(6) < 4, "macro_where": jnp.arange(8) < 5}
        return loss(with_nan(u, 2), [*yu, 0, 1], with_nan(v, 3), [*yv, 0, 1, 2], form, **masks)

    plain = loss(u, yu, v, yv, form)
    np.testing.assert_allclose(padded(u, v)[:4], plain, atol=1e-12)
    np.testing.assert_array_equal(padded(u, v)[4:], 0)
    gradient = lambda f: jax.jit(jax.grad(lambda u, v: f(u, v).sum(), argnums=(0, 1)))(jnp.asarray(u), jnp.asarray(v))  # noqa: E731
    gradients, expected = gradient(padded), gradient(lambda u, v: loss(u, yu, v, yv, form))
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    macro_order, micro_order = np.array([3, 0, 4, 1, 2]), np.array([2, 3, 0, 1])
    np.testing.assert_allclose(loss(u, yu, v[macro_order], yv[macro_order], form), plain, atol=1e-12)
    np.testing.assert_allclose(loss(u[micro_order], yu[micro_order], v, yv, form), plain[micro_order], atol=1e-12)
    renamed = np.array([5, 2])
    np.testing.assert_allclose(loss(u, renamed[yu], v, renamed[yv], form), plain, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_edge_cases_are_zero_or_finite_in_every_precision(form, dtype):
    rng = np.random.default_rng(3)
    u, v = (jnp.asarray(embeddings(rng, form, 3), dtype) for _ in range(2))
    all_clips, no_clips, classes, one_class = jnp.ones(3, bool), jnp.zeros(3, bool), jnp.arange(3), jnp.ones(3, int)
    cases = {
        "no positive": (v, 5 * one_class, classes, all_clips, all_clips),
        "all macro clips padded": (v, classes, classes, all_clips, no_clips),
        "all micro clips padded": (v, classes, classes, no_clips, all_clips),
        "one class": (v, one_class, one_class, all_clips, all_clips),
        "one macro clip": (v, classes, classes, all_clips, classes < 1),
        "identical": (u, classes, classes, all_clips, all_clips),
    }

    @jax.jit
    def value_and_gradients(a, b, yu, yv, where, macro_where):
        def total(a, b):
            return loss(a, yu, b, yv, form, where=where, macro_where=macro_where).astype(jnp.float32).sum()

        return jax.value_and_grad(total, argnums=(0, 1))(a, b)

    for name, case in cases.items():
        value, gradients = value_and_gradients(u, *case)
        assert np.isfinite(float(value)), name
        assert all(np.isfinite(np.asarray(g, np.float32)).all() for g in gradients), name
        if name.startswith(("no", "all")):
            assert float(value) == 0, name
            assert not any(np.any(np.asarray(g, np.float32)) for g in gradients), name
    assert loss(u, [0, 1, 2], v, [0, 1, 2], form).dtype == dtype
    nothing = loss(u, [0, 1, 2], v[:0], np.zeros(0), form)
    assert nothing.shape == (3,)
    assert not np.any(np.asarray(nothing, np.float32))


@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_stop_macro_stops_only_the_macro_gradient(form):
    rng = np.random.default_rng(2)
    u, v = (jnp.asarray(embeddings(rng, form, 3), jnp.float32) for _ in range(2))
    du, dv = jax.grad(lambda u, v: loss(u, [0, 1, 2], v, [0, 1, 2], form, stop_macro=True).sum(), argnums=(0, 1))(u, v)
    assert np.abs(du).max() > 0
    assert np.abs(dv).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ALIGNMENT_LOSSES)
def test_second_derivatives_vmap_and_jit(x64, form):
    rng = np.random.default_rng(4)
    u, v = (jnp.asarray(embeddings(rng, form, 3)) for _ in range(2))
    yu, yv = [0, 1, 0], [0, 1, 1]
    check_grads(lambda u, v: loss(u, yu, v, yv, form).sum(), (u, v), order=2, modes=["rev"])
    tasks_u, tasks_v = jnp.stack([u, v]), jnp.stack([v, u])
    run = lambda a, b: loss(a, yu, b, yv, form)  # noqa: E731
    looped = jnp.stack([run(a, b) for a, b in zip(tasks_u, tasks_v, strict=True)])
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(tasks_u, tasks_v), looped, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 6]), st.sampled_from([1, 3, 5]), st.floats(0.05, 2.0))
def test_soft_dtw_equals_its_recursion_cell_by_cell(rows, columns, gamma):
    cost = np.random.default_rng(rows * 7 + columns).uniform(0, 2, size=(rows, columns)).astype(np.float32)
    assert float(compiled_soft_dtw(jnp.asarray(cost), gamma=gamma)) == pytest.approx(
        soft_dtw_reference(cost, gamma), abs=2e-4
    )


@pytest.mark.parametrize(
    ("micro", "macro", "form", "text"),
    [
        ((2, 3), (2, 3), "euclid", "choose one of contrastive, cosine, l2"),
        ((2, 3), (2, 4), "cosine", r"compares embeddings \[n, E\] and \[M, E\]"),
        ((2, 3), (2, 3), "temporal", "frames, E"),
        ((2, 5, 3), (2, 4, 3), "spatial", "h, w, E"),
        ((2, 5, 3), (2, 5, 3), "l2", r"got micro \(2, 5, 3\)"),
        ((3, 3), (2, 3), "cosine", "one label per clip"),
    ],
)
def test_errors_name_the_required_shapes_and_forms(micro, macro, form, text):
    with pytest.raises(ValueError, match=text):
        alignment_loss(jnp.ones(micro), jnp.arange(2), jnp.ones(macro), jnp.arange(2), form=form)

"""Who answered and how, from the results file that the harness writes beside its samples."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_bench.chat.plain_text import half_character, texts_in
from qwen_bench.errors import DataError, InputError
from qwen_bench.lm_eval.documents import PREFIX
from qwen_bench.protocol import Identity
from qwen_bench.record.manifest import DecodingInfo, EngineInfo, ModelInfo, TemplateInfo, Thinking

ENGINE = "lm-eval"
_STAMP = re.compile(r"samples_.*_(\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_BUDGETS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_THINKING = {"true": "on", "false": "off"}


def find_results(samples: Sequence[Path]) -> Path:
    """The results file beside the samples of one run.

    Raises:
        InputError: there is none, or the samples are of several runs.
    """
    found: dict[Path, None] = {}
    for path in samples:
        stamp = _STAMP.fullmatch(path.name)
        beside = sorted(path.parent.glob(f"*_{stamp[1]}.json")) if stamp else []
        if len(beside) != 1:
            raise InputError(
                f"there is no results file beside {path}",
                why="results_<time>.json and samples_..._<time>.jsonl of a run bear the same time",
                fix="name it: --results FILE",
            )
        found[beside[0]] = None
    if len(found) > 1:
        raise InputError(
            f"the samples are of {len(found)} runs of the harness",
            why=[str(path) for path in found],
            fix="import one run at a time",
        )
    return next(iter(found))


@dataclass(frozen=True, slots=True)
class Account:
    """The results file of one run.

    Attributes:
        results: its JSON object.
    """

    path: Path
    results: Mapping[str, Any]

    @property
    def model_arguments(self) -> dict[str, Any]:
        """What `--model_args` said."""
        given = self._config.get("model_args") or {}
        if isinstance(given, str):
            pairs = (word.split("=", 1) for word in given.split(",") if "=" in word)
            return {name.strip(): value for name, value in pairs}
        return dict(given)

    @property
    def spec(self) -> str:
        """The model as the harness was told it."""
        arguments = self.model_arguments
        name = arguments.get("pretrained") or arguments.get("model")
        name = str(name or self.results.get("model_name") or self._config.get("model") or "model")
        return f"{name}+{arguments['peft']}" if arguments.get("peft") else name

    @property
    def thoughts_cut(self) -> bool:
        """Whether the harness removed thoughts from the answers."""
        return bool(self.model_arguments.get("think_end_token"))

    @property
    def packages(self) -> dict[str, str]:
        """Versions of what computed the answers."""
        version = self.results.get("transformers_version")
        return {"transformers": version} if isinstance(version, str) else {}

    @property
    def max_new_tokens(self) -> int | None:
        """Budget of a generated answer; None where nothing was generated."""
        return answer_budget(self._generation_settings())

    def identity(self, fingerprint: str) -> Identity:
        """The account in the words of the manifest.

        Args:
            fingerprint: of the weights.

        Raises:
            DataError: its tasks were asked with different settings.
        """
        asked: dict[str, Any] = {
            "backend": self._config.get("model"),
            "base_url": self.model_arguments.get("base_url"),
        }
        asked_a_server = asked["base_url"] or "completions" in str(asked["backend"])
        switch = str(self.model_arguments.get("enable_thinking")).lower()
        return Identity(
            model=ModelInfo(
                spec=self.spec,
                label=self.spec,
                kind="imported",
                fingerprint=fingerprint,
                resolved=Path(self.spec).name,
                revision=self._config.get("model_sha") or None,
                parameters=self._config.get("model_num_parameters") or None,
                context_window=self.results.get("max_length"),
                dtype=str(self._config.get("model_dtype") or "").removeprefix("torch.") or None,
            ),
            template=TemplateInfo(
                chat_template_sha256=_sha256(self.results.get("chat_template")),
                source="model",
                thinking=Thinking(requested=_THINKING.get(switch, "auto")),
            ),
            generation=DecodingInfo(**self._generation()),
            engine=EngineInfo(
                name=ENGINE,
                version=self.results.get("lm_eval_version"),
                device=None if asked_a_server else self._config.get("device"),
                batch_size=self._config.get("batch_size"),
                **asked,
            ),
            warnings=self._warnings(fingerprint),
        )

    @property
    def _config(self) -> Mapping[str, Any]:
        found = self.results.get("config")
        return found if isinstance(found, Mapping) else {}

    def _generation_settings(self) -> Mapping[str, Any]:
        """Settings of the generating tasks, which must be the same for all."""
        configs = self.results.get("configs") or {}
        kinds = {
            json.dumps(config["generation_kwargs"], sort_keys=True)
            for name, config in configs.items()
            if PREFIX in name and config.get("generation_kwargs")
        }
        if len(kinds) > 1:
            raise DataError(self.path, None, "its tasks were asked with different settings")
        settings: dict[str, Any] = json.loads(kinds.pop()) if kinds else {}
        return settings

    def _generation(self) -> dict[str, Any]:
        settings = self._generation_settings()
        samples = bool(settings.get("do_sample"))
        return {
            "temperature": float(settings.get("temperature") or 0.0) if samples else 0.0,
            "top_p": settings.get("top_p") if samples else None,
            "top_k": settings.get("top_k") if samples else None,
            "repetition_penalty": float(settings.get("repetition_penalty", 1.0)),
            "stop": settings.get("until"),
            "seed": self._config.get("torch_seed") if samples else None,
            "system_sha256": _sha256(self.results.get("system_instruction")),
        }

    def _warnings(self, fingerprint: str) -> tuple[str, ...]:
        settings = self._generation_settings()
        lines = []
        if fingerprint.startswith("unverified"):
            lines.append("the weights behind this log are not verified; --model SPEC hashes them")
        if settings:
            lines.append(
                "lm-eval logs no finish reason; answers cut by their budget count as ended"
            )
        if settings and "repetition_penalty" not in settings:
            lines.append("no repetition penalty was sent; the server's own value applied")
        return tuple(lines)


def read_account(path: Path) -> Account:
    """Read a results file.

    Raises:
        InputError: it cannot be read.
        DataError: it is no results file of the harness.
    """
    try:
        results = json.loads(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot read {path}: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(path, None, "not valid JSON") from error
    if not isinstance(results, dict) or "configs" not in results:
        raise DataError(path, None, "not a results file of lm-eval: the key configs is missing")
    for _, text in texts_in(results):
        wrong = half_character(text)
        if wrong is not None:
            raise DataError(path, None, f"a text in it {wrong}", fix="write the whole character")
    return Account(path, results)


def answer_budget(settings: Mapping[str, Any]) -> int | None:
    """Most tokens of a generated answer, under whatever name the settings give it."""
    return next((int(settings[name]) for name in _BUDGETS if settings.get(name) is not None), None)


def unverified(spec: str) -> str:
    """Fingerprint of a model known by its name only; another name gives another one."""
    return f"unverified:{Path(spec).name}-{hashlib.sha256(spec.encode()).hexdigest()[:12]}"


def _sha256(text: object) -> str | None:
    return hashlib.sha256(text.encode()).hexdigest() if isinstance(text, str) and text else None

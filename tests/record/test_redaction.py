"""What is recorded may be published: secrets are hidden, the rest stays."""

import pytest

from qwen_bench.record.redaction import HIDDEN, redact_argv, redact_mapping, redact_text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--api-key", "hunter2", "--limit", "3"], ("--api-key", HIDDEN, "--limit", "3")),
        (["--hf-token=hunter2"], (f"--hf-token={HIDDEN}",)),
        (["--password", "-hunter2"], ("--password", HIDDEN)),
        (["https://me:hunter2@host/x"], (f"https://{HIDDEN}@host/x",)),
        (["--max-new-tokens", "64"], ("--max-new-tokens", "64")),
        (["--model", "a=./out"], ("--model", "a=./out")),
    ],
)
def test_secrets_leave_a_command_line(words, shown):
    assert redact_argv(words) == shown


def test_secrets_leave_nested_values():
    values = {
        "engine": {"api_key": "hunter2", "base_url": "http://u:hunter2@h/v1"},
        "headers": [{"Authorization": "Bearer hunter2"}],
        "max_new_tokens": 64,
        "token": None,
    }

    shown = redact_mapping(values)

    assert "hunter2" not in str(shown)
    assert (shown["max_new_tokens"], shown["token"]) == (64, None)


def test_token_ids_and_hashes_of_a_tokenizer_are_no_secrets():
    values = {"tokenizer_sha256": "ab", "eos_token_id": [2], "chunk_tokens": 512}

    assert redact_mapping(values) == values


def test_urls_without_credentials_stay():
    assert redact_text("http://host:80/a@b") == "http://host:80/a@b"

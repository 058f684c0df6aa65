"""What a job is."""

from __future__ import annotations

import pytest

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.jobs import Job, job_functions


def test_a_job_is_known_by_what_it_does() -> None:
    one = Job("shadow-model", {"number": 1, "seed": 0})
    assert one.id == Job("shadow-model", {"seed": 0, "number": 1}).id == Job.from_text(one.to_text()).id
    assert len({one.id, Job("shadow-model", {"number": 2, "seed": 0}).id, Job("tuning-trial", one.arguments).id}) == 3


def test_only_registered_functions_run() -> None:
    assert {"method", "shadow-model", "tuning-trial", "unlearned-shadow"} <= set(job_functions.names())
    with pytest.raises(NotFoundError, match=r"no job function 'os\.system'"):
        job_functions.get("os.system")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"function": "square"}', '{"function": "square", "arguments": 3}'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="this is not a job"):
        Job.from_text(text)

"""Asks a view as the server does: through JSON, both ways."""

from __future__ import annotations

import json

from unweave.base.views import all_views


def ask(subject, view, /, **request):
    """A view's answer, checked to hold nothing that JSON cannot."""
    found = all_views()[view]
    answer = found.function(subject, found.request.model_validate_json(json.dumps(request)))
    assert isinstance(answer, found.response)
    assert found.response.model_validate_json(answer.model_dump_json()) == answer
    return answer

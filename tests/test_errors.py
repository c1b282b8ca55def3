"""Messages are safe to print, whatever text or name they contain."""

from __future__ import annotations

import logging
import pickle

from das_ag.errors import PrintableFormatter, UserError

TEXT = "a\x1b[31m heart\x01\x7f\x9b31m\r, \udce9, 心\n\tend"
SHOWN = "a\\x1b[31m heart\\x01\\x7f\\x9b31m\\r, \\xe9, 心\n\tend"


def test_an_error_has_no_control_characters_but_ends_of_lines():
    assert str(UserError(TEXT)) == SHOWN
    assert str(pickle.loads(pickle.dumps(UserError(TEXT)))) == SHOWN


def test_log_lines_have_none_either():
    record = logging.LogRecord("das_ag", logging.WARNING, "file", 1, "in “%s”", (TEXT,), None)
    assert PrintableFormatter("%(message)s").format(record) == f"in “{SHOWN}”"

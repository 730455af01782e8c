"""Tables of corrections: read as the tables that they correct."""

import pytest

from lightman_jax.data.corpora.corrections import read_corrections
from lightman_jax.data.records import DataError


def test_corrections_are_read_like_other_tables(tmp_path):
    header = ["clip", "field", "old", "new", "source"]
    path = tmp_path / "corrections.csv"
    lines = [";".join(header), "table/Jürgen/c;onset;5,0;NA;Müller", "table/Jürgen/c;emotion;n/a;Fröhlich;"]
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    notes = []
    assert [one[:4] for one in read_corrections(path, notes.append)] == [
        ("table/Jürgen/c", "onset", "5", ""),
        ("table/Jürgen/c", "emotion", "", "Fröhlich"),
    ]
    assert "Windows-1252" in notes[0]
    path.write_text(f'{",".join(header)}\ntable/a/c,onset,5,"1,000",\n')
    with pytest.raises(DataError, match=r"line 2: new is '1,000', which may count thousands"):
        read_corrections(path)

"""The bench of EMG: rows, their names and units, on a few strides."""

from lancelet.scripts.benches import emg


def test_rows_of_the_generator_and_of_the_decoder(monkeypatch):
    monkeypatch.setattr(emg, "STRIDES", 20)
    monkeypatch.setattr(emg, "BATCH", 3)
    rows = [*emg._generator_rows(1), emg._decoder_row("power", 1)]
    assert all(row.value > 0 for row in rows)
    judged = {row.name: row.target for row in rows if row.kind == "speed"}
    assert judged == {
        "full signal, 2 kHz, one forearm, x real time": ">= 40",
        "feature level, one forearm, x real time": ">= 300",
        "emg-lda on features, CPU time a stride, p99, ms": "<= 2",
    }

import math

import pandas as pd
import pytest
from helpers.random_metrics import metrics

from fedmeta.errors import FedmetaError
from fedmeta.evaluation.columns import JOB_COLUMNS, NAMES
from fedmeta.reporting import results

HEADER = "scenario,dataset,seed,experiment,model,case,client,defence,delta,step,episode,metric,value\n"
ROW = "default,omniglot,0,matching,attacked,a,2,matching,0.3,5,7,attack_training,0.25\n"


def write(path, text):
    path.write_text(text)
    return path


def test_fields_arrive_with_their_types_and_empties(tmp_path):
    plain = "default,omniglot,1,meta_training,clean,c,,,,0,0,meta_testing,1\n"
    frame = results.read_metrics(write(tmp_path / "m.csv", HEADER + ROW + plain))
    assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == results.DTYPES
    first, second = frame.to_dict("records")
    assert first["client"] == 2
    assert first["delta"] == 0.3
    assert first["defence"] == "matching"
    assert first["step"] == 5
    assert first["value"] == 0.25
    assert pd.isna(second["client"])
    assert math.isnan(second["delta"])
    assert second["defence"] == ""
    assert second["value"] == 1


def test_columns_are_found_by_name(tmp_path):
    reversed_text = "".join(",".join(line.split(",")[::-1]) + "\n" for line in (HEADER + ROW).splitlines())
    straight = results.read_metrics(write(tmp_path / "straight.csv", HEADER + ROW))
    backwards = results.read_metrics(write(tmp_path / "backwards.csv", reversed_text))
    pd.testing.assert_frame_equal(straight, backwards)


def test_order_of_files_and_rows_does_not_matter(tmp_path):
    frame = metrics().drop(columns=list(NAMES))
    half = len(frame) // 2
    frame[:half].to_csv(tmp_path / "one.csv", index=False)
    frame[half:].to_csv(tmp_path / "two.csv", index=False)
    paths, names = [tmp_path / "one.csv", tmp_path / "two.csv"], [("default", "fine_tuning")] * 2
    together = results.gather(paths, names)
    pd.testing.assert_frame_equal(together, results.gather(paths[::-1], names))
    keys = [tuple(row)[:-1] for row in together.drop(columns="delta").itertuples(index=False)]
    assert keys == sorted(keys)
    assert len(keys) == len(frame)


def test_rows_with_empty_fields_come_first(tmp_path):
    rows = [ROW, ROW.replace(",2,", ",,"), ROW.replace(",0.3,", ",,"), ROW.replace(",2,", ",,").replace(",0.3,", ",,")]
    frame = results.read_metrics(write(tmp_path / "m.csv", HEADER + "".join(rows)))
    assert [(pd.isna(row.client), pd.isna(row.delta)) for row in frame.itertuples()] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]


def test_written_metrics_read_back_unchanged_and_bytes_are_stable(tmp_path):
    frame = metrics()
    results.write_metrics(frame, tmp_path / "a.csv")
    results.write_metrics(frame.sample(frac=1, random_state=3), tmp_path / "b.csv")
    back = results.read_metrics(tmp_path / "a.csv")
    results.write_metrics(back, tmp_path / "c.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert (tmp_path / "a.csv").read_text().startswith(HEADER)
    pd.testing.assert_frame_equal(back, results.sort_metrics(frame), check_exact=True)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.csv"
    results.write_metrics(metrics(), path)
    before = path.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("stopped")))
    with pytest.raises(RuntimeError):
        results.write_metrics(metrics(rng_seed=1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (HEADER, "no rows"),
        (HEADER + ROW + ROW[:-6], "cut off"),
        (HEADER + ROW + "default,omniglot,0,matching\n", "line 3: model"),
        (HEADER + ROW + "\n", "line 3"),
        (HEADER + ROW.replace(",0.25", ""), "line 2: value cannot be ''"),
        (HEADER + ROW + ROW.replace("\n", ",1\n"), "not a table"),
        (HEADER + ROW.replace("\n", ",1\n"), "too many fields"),
        (HEADER.replace(",step", "") + ROW.replace(",5,", ","), "lacks the columns step"),
        (HEADER.replace("\n", ",note\n") + ROW.replace("\n", ",x\n"), "unknown columns note"),
        (HEADER + ROW.replace("0.25", "1.01"), "line 2: value cannot be '1.01'"),
        (HEADER + ROW.replace("0.25", "-0.01"), "value cannot be"),
        (HEADER + ROW.replace("0.25", "nan"), "value cannot be 'nan'"),
        (HEADER + ROW.replace("0.25", "inf"), "value cannot be"),
        (HEADER + ROW.replace("0.25", ""), "value cannot be"),
        (HEADER + ROW.replace(",0.3,", ",3,"), "delta cannot be '3'"),
        (HEADER + ROW.replace(",0.3,", ",x,"), "delta cannot be 'x'"),
        (HEADER + ROW.replace(",5,7,", ",5.0,7,"), "step cannot be '5.0'"),
        (HEADER + ROW.replace(",5,7,", ",5,,"), "episode cannot be ''"),
        (HEADER + ROW.replace("t,0,m", "t,-1,m"), "seed cannot be '-1'"),
        (HEADER + ROW.replace(",2,", ",two,"), "client cannot be 'two'"),
        (HEADER + ROW.replace(",0,matching,", ",0,,"), "experiment cannot be ''"),
        (HEADER + ROW.replace(",a,", ",d,"), "case cannot be 'd'"),
        (HEADER + ROW.replace("attacked", "poisoned"), "model cannot be 'poisoned'"),
        (HEADER + ROW.replace("attack_training", "accuracy"), "metric cannot be"),
        (HEADER + ROW + ROW.replace("0.25", "0.5"), "both measure"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path, text, reason):
    path = write(tmp_path / "broken.csv", text)
    with pytest.raises(FedmetaError, match=reason) as error:
        results.read_metrics(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


JOB_HEADER = ",".join(JOB_COLUMNS) + "\n"
JOB_ROW = "omniglot,0,matching,attacked,a,2,0.3,5,7,attack_training,0.25\n"


def test_a_table_of_a_job_gets_the_names_under_which_it_is_asked_for(tmp_path):
    path = write(tmp_path / "job.csv", JOB_HEADER + JOB_ROW)
    names = [("weak", "matching"), ("strong", "matching"), ("strong", "sweep,delta=0.3")]
    frame = results.gather([path] * 3, names)
    assert list(frame) == results.COLUMNS
    assert sorted(zip(frame.scenario, frame.defence, strict=True)) == sorted(names)
    assert set(frame.value) == {0.25}
    with pytest.raises(FedmetaError, match="lacks the columns scenario, defence"):
        results.read_metrics(path)
    with pytest.raises(FedmetaError, match="unknown columns scenario, defence"):
        results.gather([write(tmp_path / "named.csv", HEADER + ROW)], [("weak", "matching")])


def test_files_that_repeat_each_other_are_both_named(tmp_path):
    others = [write(tmp_path / f"{step}.csv", JOB_HEADER + JOB_ROW.replace(",5,", f",{step},")) for step in (6, 5, 7)]
    again = write(tmp_path / "again.csv", JOB_HEADER + JOB_ROW.replace("0.25", "0.5"))
    with pytest.raises(FedmetaError, match="both measure") as error:
        results.gather([*others, again], [("default", "matching")] * 4)
    message = str(error.value)
    assert "5.csv" in message
    assert "again.csv" in message
    assert "6.csv" not in message
    assert "7.csv" not in message


def test_binary_missing_and_no_files_are_refused(tmp_path):
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81\n")
    for path in (tmp_path / "binary.csv", tmp_path / "absent.csv"):
        with pytest.raises(FedmetaError):
            results.read_metrics(path)
    with pytest.raises(FedmetaError, match="evaluate at least one model"):
        results.gather([], [])

"""Files with random changes are read or refused, never anything else: the short run of what `benchmarks.fuzz` does for long."""

import pytest
from helpers.fuzzing import mutate, targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "DICOM", "metadata", "model files", "feature cache", "scan cache"])
def test_a_changed_file_is_read_or_refused(tmp_path, kind):
    good, name, use = targets(tmp_path / "seed")[kind]

    @settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=True))
    def changed(draw):
        path = tmp_path / name
        path.write_bytes(mutate(draw.choice(good), good, draw))
        use(path)

    changed()

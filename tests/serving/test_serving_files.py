"""What TF Serving is started with."""

import re
from pathlib import Path

import pytest
import yaml

SERVING = Path(__file__).parents[2] / "serving"


def test_the_server_is_given_the_models_and_their_configuration() -> None:
    service = yaml.safe_load((SERVING / "compose.yaml").read_text())["services"]["tensorflow-serving"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"]}
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])
    assert (SERVING / mounted["/models"]).resolve() == SERVING.parent / "saved_models"
    config = SERVING / mounted["/config"]
    for flag, name in (("model_config_file", "models.config"), ("batching_parameters_file", "batching.config")):
        assert flags[flag] == f"/config/{name}"
        assert (config / name).resolve() == SERVING / name
    assert {"127.0.0.1:8500:8500", "127.0.0.1:8501:8501"} == set(service["ports"])
    assert (flags["port"], flags["rest_api_port"]) == ("8500", "8501")
    assert flags["enable_per_model_batching_parameters"] == "true"  # else bytes would be gathered, broken ones too


def test_the_models_are_what_tf_serving_reads() -> None:
    messages = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    from google.protobuf import text_format

    config = text_format.Parse((SERVING / "models.config").read_text(), messages.ModelServerConfig())
    found = [(one.name, one.base_path, one.model_platform) for one in config.model_config_list.config]
    assert found == [("multitask", "/models/multitask", "tensorflow")]


def test_only_a_version_with_its_own_parameters_is_gathered_into_batches() -> None:
    """Their message is not in the packages of TF Serving's interface: the fields of its text are looked at alone."""
    fields = {
        name: dict(re.findall(r"^(\w+) \{ value: (\S+) \}$", (SERVING / name).read_text(), re.MULTILINE))
        for name in ("batching.config", "batching_params.pbtxt")
    }
    assert fields["batching.config"] == {"num_batch_threads": "2", "thread_pool_name": '"batches"'}
    assert set(fields["batching_params.pbtxt"]) == {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches"}
    assert "multitask-pixels" not in re.sub(r"#.*", "", (SERVING / "models.config").read_text())

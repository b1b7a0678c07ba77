"""Autoscaling: KEDA's documents against what is documented of them, and the figures that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.rendering import Json, containers, named, rendered
from tests.processes import Running

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
LOOSE: Json = {"type": "object"}  # Kubernetes's own: of a HorizontalPodAutoscaler


def _closed(required: tuple[str, ...] = (), **properties: Any) -> Json:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


# The fields of KEDA 2.12 and later that are used here; KEDA publishes no schema by itself.
REFERENCE = _closed(("name",), name=TEXT, kind={"enum": ["TriggerAuthentication", "ClusterTriggerAuthentication"]})
SECRET = _closed(("parameter", "name", "key"), parameter=TEXT, name=TEXT, key=TEXT)
TRIGGER = _closed(
    ("type", "metadata"),
    type={"const": "metrics-api"},
    name={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},  # as it stands in the formula
    metadata=_closed(
        ("url", "valueLocation", "targetValue"),
        url={"type": "string", "pattern": "^http://registry[.]fogline[.]svc:5050/metrics$"},
        format={"enum": ["json", "xml", "yaml", "prometheus"]},
        valueLocation=TEXT,
        targetValue={"type": "string", "pattern": r"^[0-9.]+$"},
        activationTargetValue=TEXT,
        authMode={"enum": ["apiKey", "basic", "bearer", "tls"]},
    ),
    authenticationRef=REFERENCE,
)
SPECS = {
    "ScaledObject": _closed(
        ("scaleTargetRef", "triggers"),
        scaleTargetRef=_closed(("name",), apiVersion=TEXT, kind=TEXT, name=TEXT),
        pollingInterval=COUNT,
        cooldownPeriod=COUNT,
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        advanced=_closed(
            (),
            horizontalPodAutoscalerConfig=_closed((), name=TEXT, behavior=LOOSE),
            scalingModifiers=_closed(
                ("formula", "target"),
                formula=TEXT,
                target={"type": "string", "pattern": r"^[0-9.]+$"},
                activationTarget=TEXT,
                metricType={"enum": ["AverageValue", "Value"]},
            ),
        ),
        triggers={"type": "array", "items": TRIGGER, "minItems": 1},
    ),
    "TriggerAuthentication": _closed(
        ("secretTargetRef",),
        secretTargetRef={
            "type": "array",
            "items": _closed(("parameter", "name", "key"), parameter=TEXT, name=TEXT, key=TEXT),
        },
    ),
}


@pytest.fixture
def documents() -> list[Json]:
    return rendered("autoscale")


def test_keda_would_take_its_documents(documents: list[Json]) -> None:
    """They have the fields that KEDA knows, of the right types, and no others."""
    found = [document for document in documents if document["apiVersion"] == "keda.sh/v1alpha1"]
    assert {document["kind"] for document in found} == set(SPECS)
    for document in found:
        jsonschema.validate(document["spec"], SPECS[document["kind"]])


def test_it_scales_what_is_there_by_a_key_that_is_there(documents: list[Json]) -> None:
    """Its target is a Deployment without a number of its own, and its key's Secret is named alike everywhere."""
    scaled = named(documents, "ScaledObject", "compute") or {}
    target = scaled["spec"]["scaleTargetRef"]
    deployment = named(documents, target["kind"], target["name"]) or {}
    assert "replicas" not in deployment["spec"]  # each `apply` would set it back
    for trigger in scaled["spec"]["triggers"]:
        assert named(documents, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    assert not [document for document in documents if document["kind"] == "DaemonSet"]


def test_the_formula_counts_what_a_pod_has(documents: list[Json]) -> None:
    """Every name in it is a trigger's, and its target is the number of a pod's slots."""
    spec = (named(documents, "ScaledObject", "compute") or {})["spec"]
    modifiers = spec["advanced"]["scalingModifiers"]
    names = {trigger["name"] for trigger in spec["triggers"]}
    assert {word for word in modifiers["formula"].split() if word.isidentifier()} == names
    # Ten slots, three of them free, and one session that waits: eight are wanted, and two to spare.
    assert eval(modifiers["formula"], {}, {"total": 10, "free": 3, "waiting": 1}) == 10
    compute = containers(named(documents, "Deployment", "compute-autoscaled") or {})[-1]
    slots = next(one["value"] for one in compute["env"] if one["name"] == "FOGLINE_SLOTS")
    assert modifiers["target"] == slots


def test_the_registry_tells_the_figures(documents: list[Json], start: Callable[..., Running]) -> None:
    """Each is a gauge of one number, without labels, also while there is nothing to count."""
    registry = start("registry", "--redis", "memory:").ready()
    families = {
        family.name: family
        for family in text_string_to_metric_families(requests.get(f"{registry.url}/metrics", timeout=5).text)
    }
    for trigger in (named(documents, "ScaledObject", "compute") or {})["spec"]["triggers"]:
        family = families[trigger["metadata"]["valueLocation"]]
        assert family.type == "gauge"
        assert [sample.labels for sample in family.samples] == [{}]
        assert family.samples[0].value == 0

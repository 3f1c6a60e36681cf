"""What is shipped to run kurir elsewhere, against the code: users, ports, probes, settings, metrics, and time to drain.

Nothing here starts an engine, a cluster or a Prometheus. What can be read is read, and compared with what the code has.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kurir import __version__, settings, tracing
from kurir.callbacks import deliverer
from kurir.callbacks.ladder import Standing as OfEndpoint
from kurir.cli import processes
from kurir.cli.app import VERBS
from kurir.configuration.file import parse
from kurir.delivery.attempts import NAMES as OUTCOMES
from kurir.delivery.dispatcher import Dispatcher
from kurir.delivery.state import Standing as OfAccount
from kurir.http import metrics as metrics_route
from kurir.http import operations, server
from kurir.metrics import FAMILIES, Kind
from kurir.nodes import DRAIN_SECONDS, LEAVE_SECONDS
from kurir.settings import SETTINGS, PostgresUrl
from support import helm

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "kurir"
FOLDER = "/var/lib/kurir"
PORT = 8080
#: How long a stop takes where everything takes as long as it may: requests, leases, calls, callbacks and their results.
DRAIN = (
    server.GRACE_SECONDS
    + DRAIN_SECONDS
    + 3 * LEAVE_SECONDS
    + inspect.signature(Dispatcher.stop).parameters["seconds"].default
    + deliverer.DRAIN_SECONDS
    + deliverer.RESULT_SECONDS
    + tracing.CLOSE_SECONDS
)
VARIABLES = {one.variable for one in SETTINGS} | {settings.CONFIG_VARIABLE}
PATHS = {route.path for router in (operations.router, metrics_route.router) for route in router.routes}
SECRET = {
    "encryptionKey": "ab" * 32,
    "adminToken": "an administrator's token",
    "metricsToken": "the token of Prometheus",
    "databaseUrl": "postgresql://kurir:word@db/kurir",
}


def read(*path: str) -> str:
    return DEPLOY.joinpath(*path).read_text("utf-8")


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)?", text)
    assert found is not None, text
    return int(found[1]) * (60 if found[2] == "m" else 1)


def test_the_drain_is_what_the_files_say_it_is() -> None:
    assert DRAIN == 48
    assert processes.END_SECONDS <= DRAIN
    assert f"{DRAIN:g} at the very most" in read("systemd", "kurir.service")
    assert f"{DRAIN:g} at the very most" in read("helm", "kurir", "templates", "_pod.tpl")


# --- systemd --------------------------------------------------------------------------------------------------------------


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in read("systemd", "kurir.service").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_runs_without_rights_and_writes_into_its_folder_alone() -> None:
    found = unit()
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert found[name] == ["yes"], name
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["StateDirectory"] == ["kurir"]
    assert found["WorkingDirectory"] == [FOLDER]
    assert found["StateDirectoryMode"] == ["0700"]
    assert found["Type"] == ["notify"]
    assert found["NotifyAccess"] == ["main"]
    assert seconds(found["WatchdogSec"][0]) >= 10, "a busy machine is not to be taken for one that hangs"
    assert found["TimeoutStartSec"] == ["infinity"], "a migration is not to be cut off"
    assert found["StartLimitIntervalSec"] == ["0"], "else systemd gives up after some failures"
    assert found["Restart"] == ["always"]


def test_the_unit_gives_settings_that_there_are_and_time_to_drain() -> None:
    found = unit()
    given = dict(one.split("=", 1) for one in found["Environment"])
    assert {name for name in given if name.startswith("KURIR_")} <= VARIABLES
    assert given["KURIR_DATABASE"].startswith(f"{FOLDER}/")
    assert parse({}, given, channels={}).settings.listen.port == PORT
    assert seconds(found["TimeoutStopSec"][0]) > DRAIN
    words = found["ExecStart"][0].split()
    assert words[1] in VERBS
    assert words[2:] == ["--config", "/etc/kurir/kurir.toml"]


# --- the image ------------------------------------------------------------------------------------------------------------


def stages() -> list[list[tuple[str, str]]]:
    text = re.sub(r"\\\n", " ", read("docker", "Dockerfile"))
    found: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append((word, rest.strip()))
    return found


def of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


def test_the_image_is_built_from_the_lock_with_hashes_and_without_a_shell() -> None:
    build, last = stages()
    commands = [json.loads(rest) for stage in (build, last) for rest in of(stage, "RUN")]
    assert all(isinstance(one, list) for one in commands)
    install = next(one for one in commands if "-r" in one)
    assert "--require-hashes" in install
    lock = install[install.index("-r") + 1]
    assert (ROOT / lock).is_file()
    assert f"{lock} {lock}" in of(build, "COPY")
    assert any("--no-deps" in one for one in commands)
    for rest in of(build, "COPY"):
        for name in rest.split()[:-1]:
            assert (ROOT / name).exists(), name
    (version,) = {re.match(r"python:([\d.]+)-", rest).group(1) for stage in stages() for rest in of(stage, "FROM")}  # type: ignore[union-attr]
    assert f"Python :: {version}" in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_image_has_a_user_without_a_name_one_port_and_a_probe_that_there_is() -> None:
    last = stages()[-1]
    assert of(last, "USER") == ["10001:10001"]
    assert [word for word, _ in last].index("USER") < [word for word, _ in last].index("ENTRYPOINT")
    given = dict(re.findall(r"(\w+)=(\S+)", of(last, "ENV")[0]))
    ours = {name: value for name, value in given.items() if name.startswith("KURIR_")}
    assert set(ours) <= VARIABLES
    found = parse({}, ours, channels={}).settings
    assert (found.listen.host, found.listen.port) == ("0.0.0.0", PORT)
    assert of(last, "EXPOSE") == [str(PORT)]
    assert str(found.data_folder) == FOLDER == of(last, "WORKDIR")[0]
    assert json.loads(of(last, "VOLUME")[0]) == [FOLDER]
    probe = of(last, "HEALTHCHECK")[0]
    assert json.loads(probe.partition("CMD ")[2])[0].endswith("/python")
    url = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", probe)
    assert url is not None
    assert int(url[1]) == PORT
    assert url[2] in PATHS
    assert json.loads(of(last, "CMD")[0])[0] in VERBS


def test_what_is_ignored_leaves_what_the_image_is_built_from() -> None:
    lines = [line for line in read("docker", "Dockerfile.dockerignore").splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    kept = {line[1:] for line in lines if line.startswith("!")}
    wanted = {name for rest in of(stages()[0], "COPY") for name in rest.split()[:-1]}
    assert kept == wanted


# --- compose --------------------------------------------------------------------------------------------------------------


def nodes_of(name: str) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(read("docker", name))["services"]
    return {key: one for key, one in services.items() if one["image"].startswith("kurir:")}


COMPOSED = [(name, *one) for name in ("compose.yaml", "compose.postgres.yaml") for one in nodes_of(name).items()]


@pytest.mark.parametrize(("file", "_name", "node"), COMPOSED, ids=[f"{one[0]} {one[1]}" for one in COMPOSED])
def test_compose_runs_it_read_only_without_rights_and_with_settings_that_there_are(
    file: str, _name: str, node: Any
) -> None:
    assert node["image"] == f"kurir:{__version__}"
    assert node["user"] == "10001:10001"
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert node["security_opt"] == ["no-new-privileges:true"]
    assert set(node["environment"]) <= VARIABLES
    assert seconds(node["stop_grace_period"]) > DRAIN
    assert [one.split(":")[1] for one in node["volumes"]] == [FOLDER]
    for published in node["ports"]:
        host, _, container = published.rpartition(":")
        assert host.startswith("127.0.0.1:"), "it speaks no TLS: nobody else is to reach it"
        assert int(container) == PORT
    build = node["build"]
    assert (DEPLOY / "docker" / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    document = yaml.safe_load(read("docker", file))
    assert {one.split(":")[0] for one in node["volumes"]} <= set(document["volumes"])


def test_compose_with_postgresql_has_two_nodes_with_one_key() -> None:
    nodes = nodes_of("compose.postgres.yaml")
    assert len(nodes) == 2
    one, other = nodes.values()
    assert one["environment"] == other["environment"]
    assert "KURIR_ENCRYPTION_KEY" in one["environment"]
    assert set(one["ports"]).isdisjoint(other["ports"])
    url = re.sub(r"\$\{[^}]*\}", "word", one["environment"]["KURIR_DATABASE"])
    assert isinstance(parse({}, {"KURIR_DATABASE": url}, channels={}).settings.database, PostgresUrl)


# --- Helm -----------------------------------------------------------------------------------------------------------------


def rendered(**values: Any) -> dict[str, Any]:
    return {one["kind"]: one for one in helm.render(CHART, {"secret": SECRET, **values})}


PODS = [rendered()["StatefulSet"], rendered(postgresql=True)["Deployment"]]


def test_the_chart_has_what_each_form_needs() -> None:
    assert set(rendered()) == {"Secret", "Service", "StatefulSet"}
    assert set(rendered(postgresql=True)) == {"Secret", "Service", "Deployment", "PodDisruptionBudget"}
    assert set(rendered(existingSecret="mine")) == {"Service", "StatefulSet"}
    assert rendered()["StatefulSet"]["spec"]["replicas"] == 1
    assert rendered(postgresql=True)["Deployment"]["spec"]["replicas"] == 2
    chart = yaml.safe_load(read("helm", "kurir", "Chart.yaml"))
    assert chart["appVersion"] == __version__
    assert yaml.safe_load(read("helm", "kurir", "values.yaml"))["image"]["tag"] == __version__


def test_the_chart_refuses_to_make_a_secret_of_nothing() -> None:
    for name in ("encryptionKey", "adminToken", "metricsToken"):
        with pytest.raises(helm.Refused, match=name):
            rendered(secret={**SECRET, name: ""})
    with pytest.raises(helm.Refused, match="databaseUrl"):
        rendered(postgresql=True, secret={**SECRET, "databaseUrl": ""})
    rendered(secret={**SECRET, "databaseUrl": ""})


@pytest.mark.parametrize("workload", PODS, ids=lambda one: str(one["kind"]))
def test_a_pod_has_no_rights_a_read_only_root_and_time_to_drain(workload: Any) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    inside = container["securityContext"]
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["capabilities"] == {"drop": ["ALL"]}
    pause = re.search(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pause is not None
    assert pod["terminationGracePeriodSeconds"] > int(pause[1]) + DRAIN
    assert container["args"][0] in VERBS
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounts == {"data": FOLDER, "tmp": "/tmp"}
    claims = workload["spec"].get("volumeClaimTemplates", [])
    volumes = {one["name"] for one in pod["volumes"]} | {one["metadata"]["name"] for one in claims}
    assert set(mounts) == volumes


@pytest.mark.parametrize("workload", PODS, ids=lambda one: str(one["kind"]))
def test_a_pods_probes_and_ports_are_those_of_the_code(workload: Any) -> None:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == PORT
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[name]["httpGet"]
        assert asked["path"] in PATHS
        assert asked["port"] == port["name"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez", "a database that is away is no reason to restart"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (served,) = rendered()["Service"]["spec"]["ports"]
    assert served["targetPort"] == port["name"]


@pytest.mark.parametrize("form", ["sqlite", "postgresql"])
def test_a_pods_settings_are_read_by_the_code(form: str) -> None:
    postgresql = form == "postgresql"
    found = rendered(postgresql=postgresql, publicUrl="https://chat.example")
    workload = found["Deployment" if postgresql else "StatefulSet"]
    secret = found["Secret"]
    env = {}
    for one in workload["spec"]["template"]["spec"]["containers"][0]["env"]:
        reference = one.get("valueFrom", {}).get("secretKeyRef")
        if reference is not None:
            assert reference["name"] == secret["metadata"]["name"]
        env[one["name"]] = secret["stringData"][reference["key"]] if reference is not None else one["value"]
    assert set(env) <= VARIABLES
    read_by_code = parse({}, env, channels={}).settings
    assert read_by_code.listen.port == PORT
    assert read_by_code.admin_token == SECRET["adminToken"]
    assert read_by_code.metrics_token == SECRET["metricsToken"]
    assert read_by_code.public_url == "https://chat.example"
    assert isinstance(read_by_code.database, PostgresUrl) is postgresql
    assert postgresql or str(read_by_code.data_folder) == FOLDER


@pytest.mark.parametrize("form", ["sqlite", "postgresql"])
def test_what_selects_pods_selects_them(form: str) -> None:
    postgresql = form == "postgresql"
    found = rendered(postgresql=postgresql)
    workload = found["Deployment" if postgresql else "StatefulSet"]["spec"]
    labels = workload["template"]["metadata"]["labels"]
    chosen = [workload["selector"]["matchLabels"], found["Service"]["spec"]["selector"]]
    if postgresql:
        chosen.append(found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"])
    assert all(one == labels for one in chosen)
    assert workload.get("serviceName", "chat") == found["Service"]["metadata"]["name"]


def test_the_small_helm_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    tmp_path.joinpath("templates").mkdir()
    tmp_path.joinpath("values.yaml").write_text("a: 1", "utf-8")
    tmp_path.joinpath("Chart.yaml").write_text("{name: x, version: 1, appVersion: 1}", "utf-8")
    file = tmp_path / "templates" / "x.yaml"
    for text, fault in (("{{ range .Values.a }}", AssertionError), ("a: {{ .Values.b }}", KeyError)):
        file.write_text(text, "utf-8")
        with pytest.raises(fault):
            helm.render(tmp_path, {})


# --- alerts and the dashboard -----------------------------------------------------------------------------------------------

ALERTS = yaml.safe_load(read("prometheus", "kurir-alerts.yaml"))["groups"][0]["rules"]
DASHBOARD = json.loads(read("grafana", "kurir.json"))
EXPRESSIONS = [(one["alert"], one["expr"]) for one in ALERTS] + [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
]
#: What the scrape adds, and what histograms and functions have.
OF_PROMETHEUS = {"job", "instance", "le"}
EXPOSED = {
    name: set(one.labels)
    for one in FAMILIES
    for name in (
        [f"{one.name}{end}" for end in ("_bucket", "_sum", "_count")] if one.kind is Kind.HISTOGRAM else [one.name]
    )
} | {"up": set()}
NAMES = re.compile(r"\b((?:kurir|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?")


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[one[0] for one in EXPRESSIONS])
def test_every_metric_and_label_that_is_asked_for_is_exposed(title: str, expression: str) -> None:
    found = NAMES.findall(expression)
    assert found, title
    labels = set()
    for name, chosen in found:
        assert name in EXPOSED, name
        labels |= EXPOSED[name]
        assert set(re.findall(r"(\w+)\s*(?:=~|!=|=)", chosen)) <= EXPOSED[name] | OF_PROMETHEUS, chosen
    for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression):
        assert {one.strip() for one in group.split(",")} <= labels | OF_PROMETHEUS, group
    assert expression.count("(") == expression.count(")")


def test_what_stands_between_quotes_is_said_by_the_code() -> None:
    words = {*OfEndpoint, *OfAccount, *OUTCOMES.values(), "failed", "done", "taken", "rejected", "not_stored", "kurir"}
    for title, expression in EXPRESSIONS:
        for chosen in re.findall(r'"([^"]*)"', expression):
            assert set(chosen.split("|")) <= words, (title, chosen)


def test_the_first_alert_is_the_oldest_unsent_message_and_each_says_what_to_do() -> None:
    assert "kurir_queue_oldest_seconds" in ALERTS[0]["expr"]
    page = (ROOT / "docs" / "how-to" / "watch-it.md").read_text("utf-8")
    titles = re.findall(r"^### (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}
    assert {one["annotations"]["anchor"] for one in ALERTS} == anchors
    for one in ALERTS:
        assert one["labels"]["severity"] in ("warning", "critical")
        assert f"`{one['alert']}`" in page
        used = set(re.findall(r"\$labels\.(\w+)", one["annotations"]["summary"]))
        assert used <= {label for name, _ in NAMES.findall(one["expr"]) for label in EXPOSED[name]} | OF_PROMETHEUS
    assert len({one["alert"] for one in ALERTS}) == len(ALERTS)


def test_the_dashboard_shows_every_metric_that_is_not_only_a_label() -> None:
    shown = {name for _, expression in EXPRESSIONS for name, _ in NAMES.findall(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} | shown
    left_out = {one.name for one in FAMILIES} - families
    assert left_out == {
        "kurir_info",
        "kurir_disk_size_bytes",
        "kurir_webhook_last_timestamp_seconds",
        "process_open_fds",
        "process_start_time_seconds",
    }


def test_the_dashboards_panels_are_apart_and_name_the_one_source() -> None:
    panels = DASHBOARD["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for one in panels:
        place = one["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert taken.isdisjoint(cells), one["title"]
        taken |= cells
        if one["type"] != "row":
            assert one["description"].endswith("."), one["title"]
            assert one["datasource"]["uid"] == "${datasource}"


def test_prometheus_asks_where_the_metrics_are_by_the_name_that_the_alerts_know() -> None:
    (scrape,) = yaml.safe_load(read("prometheus", "scrape.yaml"))["scrape_configs"]
    assert scrape["metrics_path"] in PATHS
    assert scrape["job_name"] == "kurir"
    assert scrape["authorization"]["type"] == "Bearer"
    assert scrape["static_configs"][0]["targets"] == [f"127.0.0.1:{PORT}"]
    (rules,) = yaml.safe_load(read("prometheus", "scrape.yaml"))["rule_files"]
    assert (DEPLOY / "prometheus" / rules).is_file()

"""Proxies as processes of their own, in front of an address of loopback.

The settings that let a body stream are those that docs/operations.md and deploy/base give.
"""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {front};
        client_max_body_size 16m;
        location / {{
            proxy_pass http://{behind};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind {front}
    default_backend gateway
backend gateway
    server gateway {behind}
"""

APACHE = """
ServerRoot {folder}
ServerName localhost
Listen {front}
PidFile {folder}/httpd.pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyPass / http://{behind}/
"""

CADDY = """
{{
    admin off
    auto_https off
    storage file_system {folder}
}}
http://{front} {{
    bind 127.0.0.1
    reverse_proxy {behind}
}}
"""

VARNISH = """
vcl 4.1;
backend gateway {{ .host = "{behind_host}"; .port = "{behind_port}"; }}
sub vcl_recv {{ return (pass); }}
"""

# As an accelerator. It runs as root only to become somebody else, whose files these then are.
# Squid 5.7 takes a request buffer that is just full for the end of its client, and drops the
# upload: the buffer has to hold all of a body that the gateway takes more slowly.
SQUID = """
http_port {front} accel defaultsite=localhost no-vhost
cache_peer {behind_host} parent {behind_port} 0 no-query no-digest originserver
client_request_buffer_max_size 16 MB
http_access allow all
cache deny all
pid_filename {own}/squid.pid
access_log none
cache_log {own}/cache.log
cache_store_log none
netdb_filename none
visible_hostname localhost
shutdown_lifetime 1 second
"""

# Its route's own timeout is 15 s, for a whole response.
ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {front_port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": "type.googleapis.com/envoy.extensions.filters.network.\\
            http_connection_manager.v3.HttpConnectionManager"
          stat_prefix: gateway
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: gateway
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: gateway, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: gateway
    load_assignment:
      cluster_name: gateway
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {{address: {behind_host}, port_value: {behind_port}}}
"""

TRAEFIK = """
http:
  routers: {{gateway: {{rule: "PathPrefix(`/`)", service: gateway}}}}
  services: {{gateway: {{loadBalancer: {{servers: [{{url: "http://{behind}"}}]}}}}}}
"""
TRAEFIK_COMMAND = """{program} --entryPoints.web.address={front} --providers.file.filename={config}
    --global.sendAnonymousUsage=false --global.checkNewVersion=false"""

# Ports that somebody was given.
GIVEN = set()

# Program, settings, and the command that runs it in the foreground.
PROXIES = {
    "nginx": ("nginx", NGINX, "{program} -c {config} -e {folder}/error.log"),
    "haproxy": ("haproxy", HAPROXY, "{program} -f {config}"),
    "apache": ("apache2", APACHE, "{program} -f {config} -DFOREGROUND"),
    "caddy": ("caddy", CADDY, "{program} run --adapter caddyfile --config {config}"),
    "envoy": (
        "envoy",
        ENVOY,
        "{program} --disable-hot-restart --concurrency 1 -l warn -c {config}",
    ),
    "squid": ("squid", SQUID, "{program} --foreground -f {config}"),
    "traefik": ("traefik", TRAEFIK, TRAEFIK_COMMAND),
    "varnish": ("varnishd", VARNISH, "{program} -F -a {front} -f {config} -n {folder}/varnish"),
}


def free_address():
    """None twice: several proxies may start at one time."""
    while True:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return f"127.0.0.1:{port}"


def wait_until(true, what):
    deadline = time.monotonic() + 15
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"in 15 s not so: {what}")
        time.sleep(0.02)


def listens(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def responds(front):
    """Whether a gateway responds through a proxy."""
    connection = http.client.HTTPConnection(front)
    connection.request("GET", "/")
    return connection.getresponse().getheader("X-Request-Id")


@contextlib.contextmanager
def in_front(name, proxy, behind, folder):
    """Runs a proxy in front of a gateway; gives its address. Traefik listens before it has read its
    routes."""
    with running(name, proxy, behind, folder) as (front, _):
        wait_until(lambda: responds(front), f"{name} reaches the gateway")
        yield front


@contextlib.contextmanager
def running(name, proxy, behind, folder):
    """Runs a proxy in front of an address; gives its own, and the folder that it logs to."""
    executable, config, command = proxy
    # Envoy and Traefik are beside this Python, as packages of its.
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}:/usr/sbin"
    program = shutil.which(executable, path=path)
    front = free_address()
    host, port = behind.split(":")
    # Envoy and Traefik know the format by the name only.
    file = folder / f"{name}.{'yaml' if executable in ('envoy', 'traefik') else 'conf'}"
    own = folder / name
    own.mkdir(exist_ok=True)
    own.chmod(0o777)
    places = {"folder": folder, "own": own, "front": front, "front_port": front.split(":")[1]}
    file.write_text(config.format(**places, behind=behind, behind_host=host, behind_port=port))
    words = command.format(program=program, config=file, front=front, folder=folder).split()
    with open(own / "output.log", "w+") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)}
        )
        try:
            wait_until(lambda: listens(front) or process.poll() is not None, f"{name} listens")
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"{name} doesn't run: {log.read()[-500:]}")
            yield front, own
        finally:
            process.terminate()
            process.wait()

"""The programs that take part, each a process on loopback that ends with its block: `with
Gateway(...) as gateway`."""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

from . import processes

# Enough for 2000 uploads at one time, each with a connection to both sides.
CONNECTIONS = 8192


class Failed(Exception):
    """A program didn't do what it should; the message is for whoever runs this."""


def free_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % taken.getsockname()[1]


def ask(address, method, path, body=None, headers=None):
    """Status and body of one answer."""
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


class Program:
    """One process; what it prints goes into a file, as a pipe that nobody reads would stop it."""

    name = "?"

    def __init__(self):
        self.address = free_address()
        self.folder = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def ready(self):
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=1):
            return True

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="asset-gateway-compare-")
        # nginx's workers may be of another user.
        os.chmod(self.folder.name, 0o755)
        self.log = open(self.path("log"), "w+")
        # The settings' files are written before the clock starts.
        command, environment = self.command(), os.environ | self.environment()
        begun = time.monotonic()
        try:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
            )
            self.wait_until_ready()
            self.ready_after = time.monotonic() - begun
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_ready(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self.ready():
                    return
            time.sleep(0.001)
        raise Failed(f"{self.name} didn't start: {self.told()}")

    def __exit__(self, *_):
        process = getattr(self, "process", None)
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                for pid in processes.family(process.pid):
                    os.kill(pid, 9)
                process.wait()
        self.log.close()
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        pathlib.Path(self.path(name)).write_text(text)
        return self.path(name)

    def told(self):
        """The end of what it printed."""
        self.log.flush()
        return pathlib.Path(self.path("log")).read_text(errors="replace")[-2000:]

    def pids(self):
        return processes.family(self.process.pid)


class Upstream(Program):
    """eGain and its storage."""

    name = "the stand-in for eGain"

    def __init__(self, program, rate=0, keep=None):
        super().__init__()
        self.arguments = [
            program,
            self.address,
            "--rate",
            str(rate),
            *(["--keep", keep] if keep else []),
        ]
        self.scheme, self.authority = "http", None

    def command(self):
        return self.arguments

    def stats(self):
        return json.loads(ask(self.address, "GET", "/stats")[1])


NGINX = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile 20000;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    keepalive_requests 10000000;
    upstream behind {{
        server {behind};
        keepalive 256;
        keepalive_requests 10000000;
    }}
    server {{
        listen {front}{tls};
        location / {{
            proxy_pass {scheme}://behind;
            proxy_http_version 1.1;
            proxy_ssl_protocols TLSv1.3;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_request_buffering off;
            proxy_buffer_size 16k;
            proxy_buffers 8 64k;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


class Nginx(Program):
    """Passes requests on, without a first step."""

    name = "nginx"

    def __init__(self, program, upstream, tls=""):
        super().__init__()
        self.program, self.upstream, self.tls = program, upstream, tls

    def command(self):
        text = NGINX.format(
            folder=self.folder.name,
            connections=CONNECTIONS,
            front=self.address,
            behind=self.upstream.address,
            scheme=self.upstream.scheme,
            tls=self.tls,
        )
        return [
            self.program,
            "-e",
            self.path("error.log"),
            "-p",
            self.folder.name,
            "-c",
            self.write("nginx.conf", text),
        ]


class TlsUpstream(Nginx):
    """The stand-in behind TLS 1.3, which it doesn't speak itself; this nginx isn't measured."""

    name = "nginx with TLS"

    def __init__(self, program, upstream, certificate):
        tls = (
            f" ssl; ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key}; "
            "ssl_protocols TLSv1.3"
        )
        super().__init__(program, upstream, tls)
        self.scheme, self.authority, self.stats = "https", certificate.authority, upstream.stats


HAPROXY = """
global
    nbthread 2
    maxconn {connections}
    tune.bufsize 65536
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    http-reuse always
frontend front
    bind {front}
    default_backend behind
backend behind
    server upstream {behind}{tls}
"""


class Haproxy(Program):
    """Passes requests on, without a first step."""

    name = "HAProxy"

    def __init__(self, program, upstream):
        super().__init__()
        self.program, self.upstream = program, upstream

    def command(self):
        authority = self.upstream.authority
        tls = f" ssl verify required ca-file {authority} force-tlsv13" if authority else ""
        text = HAPROXY.format(
            connections=CONNECTIONS, front=self.address, behind=self.upstream.address, tls=tls
        )
        return [self.program, "-db", "-f", self.write("haproxy.cfg", text)]


GATEWAY = """
[server]
listen = "{front}"
admin_listen = "{admin}"
drain_delay = "0s"
max_uploads = 4096
max_downloads = 4096

[egain]
base_url = "{upstream}"
token = "token"
content_hosts = ["{behind}"]
allow_http_content_urls = true
rate = 10000
burst = 100000
budget_wait = "30s"

[limits]
max_asset_size = "2GiB"

[policy.channels.sms]
max_size = "2GiB"
allow = ["image/jpeg"]

[log]
format = "json"

[auth]
mode = "keys"

{entry}
"""


class Gateway(Program):
    """As it ships: a caller's key, a channel's policy, metrics, request ids, the access log into a
    file."""

    name = "asset-gateway"

    def __init__(self, program, upstream, key):
        super().__init__()
        self.program, self.upstream, self.key = program, upstream, key
        self.admin = free_address()

    def command(self):
        upstream = f"{self.upstream.scheme}://{self.upstream.address}"
        text = GATEWAY.format(
            front=self.address,
            admin=self.admin,
            upstream=upstream,
            behind=self.upstream.address,
            entry=self.key.entry,
        )
        return [self.program, "serve", "--config", self.write("gateway.toml", text)]

    def environment(self):
        return {"SSL_CERT_FILE": self.upstream.authority} if self.upstream.authority else {}

    def ready(self):
        return ask(self.admin, "GET", "/readyz")[0] == 200


@dataclasses.dataclass
class Key:
    """A caller's key, and its entry in the settings."""

    secret: str
    entry: str

    @classmethod
    def new(cls, program):
        told = subprocess.run(
            [program, "key", "new", "--id", "load"], capture_output=True, text=True, check=True
        ).stdout
        secret = next(line for line in told.splitlines() if line.startswith("agw_"))
        return cls(secret, told[told.index("[[auth.keys]]") :])


@dataclasses.dataclass
class Certificate:
    """An authority of its own and a certificate for loopback."""

    authority: str
    chain: str
    key: str

    @classmethod
    def new(cls, openssl, folder):
        at = {
            name: os.path.join(folder, name)
            for name in ("ca.pem", "ca.key", "leaf.pem", "leaf.key", "leaf.csr", "ext")
        }
        pathlib.Path(at["ext"]).write_text(
            "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
        )
        curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=loopback",
        ]
        for arguments in (
            ["req", "-x509", *curve, "-days", "2", "-keyout", at["ca.key"], "-out", at["ca.pem"]],
            ["req", *curve, "-keyout", at["leaf.key"], "-out", at["leaf.csr"]],
            [
                "x509",
                "-req",
                "-in",
                at["leaf.csr"],
                "-CA",
                at["ca.pem"],
                "-CAkey",
                at["ca.key"],
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                at["ext"],
                "-out",
                at["leaf.pem"],
            ],
        ):
            subprocess.run([openssl, *arguments], capture_output=True, check=True)
        return cls(at["ca.pem"], at["leaf.pem"], at["leaf.key"])

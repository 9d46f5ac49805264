#!/usr/bin/env python3
"""lan.py PORT BOOK PACKS HANDOUT: serves the built book, the offline packs and the PDFs to a room. scripts/serve --lan calls it."""

import errno
import functools
import html
import http.server
import os
import subprocess
import sys
from pathlib import Path

port, book, packs, handout = int(sys.argv[1]), *map(Path, sys.argv[2:5])
FOLDERS = {"book": book, "packs": packs, "handout": handout}


def listed(folder, *patterns):
    return sorted(p for pattern in patterns for p in folder.glob(pattern) if p.is_file())


def link(folder, file):
    name = html.escape(file.relative_to(FOLDERS[folder]).as_posix())
    return f'<a href="/{folder}/{name}">{name}</a> ({-(-file.stat().st_size // 2**20)} MB)'


def index():
    """The first page: what there is, and what to do with it, in both languages."""
    page = ""
    for file in listed(packs, "bgworkbook-offline-*.tar"):
        folder = html.escape(file.name.removesuffix(".tar"))
        page += f"""<h2>Debian, Ubuntu</h2>
<p>{link("packs", file)}, <a href="/packs/SHA256SUMS">SHA256SUMS</a></p>
<pre>sha256sum --check --ignore-missing SHA256SUMS
tar -xf {folder}.tar
cd {folder}
./install</pre>
"""
    for file in listed(packs, "bgworkbook-rootfs-*.tar.gz"):
        name = html.escape(file.name)
        page += f"""<h2>Windows (WSL)</h2>
<p>{link("packs", file)}, <a href="/packs/SHA256SUMS">SHA256SUMS</a></p>
<pre>wsl --import bgworkbook C:\\bgworkbook {name}
wsl -d bgworkbook</pre>
"""
    papers = "".join(f"<li>{link('handout', f)}</li>\n" for f in listed(handout, "**/*.pdf"))
    if papers:
        page += f"<h2>PDF</h2>\n<ul>\n{papers}</ul>\n"
    return f"""<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>PostgreSQL background worker workbook</title>
<style>body {{ font: 1.1rem/1.6 sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.2rem; margin-top: 2rem }}
pre {{ background: #eee; color: #000; padding: .7rem; overflow-x: auto }}</style></head><body>
<h1>PostgreSQL background worker workbook</h1>
<p><a href="/book/ja/">本を読む (日本語)</a> · <a href="/book/en/" lang="en">Read the book (English)</a></p>
{page}</body></html>
""".encode()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Three folders under their names, and the first page. No folder is listed."""

    def translate_path(self, path):
        parts = Path(super().translate_path(path)).relative_to(self.directory).parts
        return str(FOLDERS[parts[0]].joinpath(*parts[1:])) + ("/" if path.endswith("/") else "") if parts and parts[0] in FOLDERS else "/nonexistent"

    def list_directory(self, path):
        self.send_error(404)

    def do_GET(self):
        if self.path in ("/", "/index.html"):
            page = index()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # a whole room clicks at once

    def handle_error(self, *_):
        pass  # a laptop that was shut


def addresses():
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    return [a for a in found if ":" not in a] or ["localhost"]


try:
    server = Server(("", port), functools.partial(Handler, directory=os.sep))
except OSError as error:
    sys.exit(os.environ.get("LAN_TAKEN", str(error)) if error.errno == errno.EADDRINUSE else str(error))
for address in addresses():
    print(f"  http://{address}:{server.server_port}/", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass

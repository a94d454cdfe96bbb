"""RocketMQ Dashboard as a process that answers HTTP requests as its pages make them."""

import http.cookiejar
import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

START_LIMIT_S = 300
ANSWER_LIMIT_S = 120


class Dashboard:
    """One dashboard on loopback. `ask` gives what a page would get: the data, or the text of the error."""

    def __init__(self, jar, directory, namesrv, port):
        self.base = f"http://127.0.0.1:{port}"
        self.log = os.path.join(directory, "dashboard.log")
        self.jar = os.path.abspath(jar)
        self.directory = directory
        self.settings = [
            f"--server.port={port}", "--server.address=127.0.0.1", f"--rocketmq.config.namesrvAddrs[0]={namesrv}",
            f"--rocketmq.config.namesrvAddr={namesrv}", f"--rocketmq.config.dataPath={directory}/data",
            "--rocketmq.config.isVIPChannel=false",
        ]
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        self.process = None

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        with open(self.log, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Duser.home={self.directory}", "-jar", self.jar, *self.settings],
                cwd=self.directory, env=dict(os.environ, HOME=self.directory), stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self.opener.open(f"{self.base}/rocketmq-dashboard/csrf-token", timeout=5).read()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the dashboard does not start, see {self.log}") from error
                time.sleep(0.5)

    def ask(self, method, path, **asked):
        """`asked` are the words of the query, or, as `body`, a JSON body."""
        body = asked.pop("body", None)
        query = urllib.parse.urlencode(asked)
        token = next((cookie.value for cookie in self.cookies if cookie.name == "XSRF-TOKEN"), "")
        request = urllib.request.Request(
            f"{self.base}{path}" + (f"?{query}" if query else ""), method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-XSRF-TOKEN": token})
        try:
            text = self.opener.open(request, timeout=ANSWER_LIMIT_S).read().decode()
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code}: {error.read().decode(errors='replace')}"
        try:
            answer = json.loads(text)
        except ValueError:
            return text
        if isinstance(answer, dict) and "status" in answer:
            return answer.get("data") if answer["status"] == 0 else f"status {answer['status']}: {answer.get('errMsg')}"
        return answer

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

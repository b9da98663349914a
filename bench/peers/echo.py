"""The limit at the door: bare aiohttp that reads the body and answers. It stores nothing."""

import sys

import uvloop
from aiohttp import web

ANSWER = b'{"ErrCode":0,"ErrMsg":""}'


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


async def main(port: int) -> None:
    app = web.Application()
    app.router.add_post("/tccc/push", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    import asyncio  # noqa: PLC0415

    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

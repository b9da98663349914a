"""The door as most would write it: FastAPI, basic auth, aiokafka with acks=all, an answer once Kafka has it.

It validates that the body is JSON and names a session; no dead letters, no spool.
"""

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

SERVERS, PREFIX, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
security = HTTPBasic()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=SERVERS, acks="all", enable_idempotence=True, linger_ms=2, compression_type="lz4"
    )
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/tccc/push")
async def push(
    request: Request, action: str, credentials: Annotated[HTTPBasicCredentials, Depends(security)]
) -> dict[str, Any]:
    """One push."""
    known = secrets.compare_digest(credentials.username, "bench") and secrets.compare_digest(
        credentials.password, "bench"
    )
    if not known:
        raise HTTPException(401)
    raw = await request.body()
    body = orjson.loads(raw)
    if not body.get("SessionId"):
        return {"ErrCode": 0, "ErrMsg": "no SessionId"}
    key = f"{body['SdkAppId']}:{body['SessionId']}".encode()
    await request.app.state.producer.send_and_wait(PREFIX + action, raw, key=key)
    return {"ErrCode": 0, "ErrMsg": ""}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error", access_log=False, loop="uvloop")

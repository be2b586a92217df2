"""An agent that knows a URL, with the Python SDK. It writes lines of JSON, and reads where
the browser was sent back to, and then the tools that it is to call, one in a line."""

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs, urlparse

from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

CALLBACK = os.environ["CALLBACK"]


def tell(**line):
    print(json.dumps(line), flush=True)


async def read():
    return (await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)).strip()


class Storage:
    def __init__(self):
        self.tokens = self.client = None
        if os.environ.get("CLIENT_ID"):
            self.client = OAuthClientInformationFull(
                client_id=os.environ["CLIENT_ID"], redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
            )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def redirect(url):
    tell(authorize=url)


async def callback():
    query = parse_qs(urlparse(await read()).query)
    one = lambda name: query.get(name, [None])[0]
    return AuthorizationCodeResult(code=one("code"), state=one("state"), iss=one("iss"))


async def tools(session):
    return sorted(tool.name for tool in (await session.list_tools()).tools)


async def main():
    metadata = OAuthClientMetadata(
        client_name="agent", redirect_uris=[CALLBACK], token_endpoint_auth_method="none",
        grant_types=["authorization_code", "refresh_token"], response_types=["code"],
    )
    auth = OAuthClientProvider(sys.argv[1], metadata, Storage(), redirect, callback)
    async with create_mcp_http_client(auth=auth) as http:
        async with streamable_http_client(sys.argv[1], http_client=http) as streams:
            async with ClientSession(streams[0], streams[1]) as session:
                await session.initialize()
                tell(tools=await tools(session))
                while name := await read():
                    try:
                        if name == "tools/list":
                            tell(tools=await tools(session))
                            continue
                        result = await session.call_tool(name, {"id": "1"})
                        tell(text=result.content[0].text)
                    except Exception as problem:
                        tell(problem=f"{problem}")


asyncio.run(main())

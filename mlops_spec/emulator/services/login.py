"""login.microsoftonline.com: tokens for the emulator's one service principal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_spec.emulator.identity import SECONDS
from mlops_spec.emulator.routing import Reply, Route

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.world import World

HOST = "login.microsoftonline.com"


async def instances(_: World, call: Call) -> Reply:
    """Which login a client may talk to."""
    tenant = call.query.get("authorization_endpoint", f"https://{HOST}/common").split("/")[3]
    cloud = {
        "preferred_network": HOST,
        "preferred_cache": "login.windows.net",
        "aliases": [HOST, "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    }
    where = f"https://{HOST}/{tenant}/v2.0/.well-known/openid-configuration"
    body = {"tenant_discovery_endpoint": where, "api-version": "1.1", "metadata": [cloud]}
    return Reply(body=body)


async def configuration(_: World, call: Call) -> Reply:
    """Where a tenant's tokens are."""
    tenant = call.found["tenant"]
    base = f"https://{HOST}/{tenant}"
    return Reply(
        body={
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "issuer": f"{base}/v2.0",
            "tenant_region_scope": None,
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    )


async def token(world: World, call: Call) -> Reply:
    """A token for the secret, or for the federated token, which is the same text here."""
    form = call.body if isinstance(call.body, dict) else {}
    given = form.get("client_secret") or form.get("client_assertion") or ""
    if not world.identity.is_secret(given):
        message = "AADSTS7000215: Invalid client secret provided."
        return Reply(401, {"error": "invalid_client", "error_description": message})
    audience = str(form.get("scope", "")).partition(" ")[0].removesuffix("/.default")
    lifetime = {"expires_in": SECONDS, "ext_expires_in": SECONDS}
    bearer = {"token_type": "Bearer", "access_token": world.identity.token(audience)}
    return Reply(body={**bearer, **lifetime})


ROUTES = (
    Route("GET", HOST, "/common/discovery/instance", instances, public=True),
    Route(
        "GET", HOST, "/{tenant}/v2.0/.well-known/openid-configuration", configuration, public=True
    ),
    Route("POST", HOST, "/{tenant}/oauth2/v2.0/token", token, public=True),
)

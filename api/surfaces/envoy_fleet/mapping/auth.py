"""What somebody is told who has logged in."""

from typing import Any

from api.logins import Login


def shown(login: Login) -> dict[str, Any]:
    account = login.account
    return {
        "access_token": login.access,
        "refresh_token": login.refresh,
        "token_type": "Bearer",
        "expires_in": login.lasts_s,
        "user": {
            "id": account.id,
            "email": account.email,
            "username": account.username,
            "role": account.role,
            "tenant_id": account.tenant_id,
        },
    }

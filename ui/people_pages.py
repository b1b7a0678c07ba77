"""The pages on which people sign in, and look after their own account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, request

from mesh.errors import FoglineError
from mesh.openapi import Answer, operation
from ui.access import Access
from ui.places import at, ours
from ui.rendering import PAGE, Renderer
from ui.standing import Standing


def people_page_routes(renderer: Renderer, access: Access, standing: Standing) -> Blueprint:
    """The pages."""
    routes = Blueprint("people_pages", __name__)
    renderer.refuse(routes)

    def is_in() -> bool:
        """Whether who asks needs no sign-in, or has one that is good."""
        try:
            return access.open or access.whose(request) is not None
        except FoglineError:  # it is not good, or nobody can tell: then signing in is the next thing to do
            return False

    @routes.get("/sign-in")
    @operation("Sign in", {200: PAGE, 303: Answer("Signed in already: to the page that was wanted")}, tag="people")
    def sign_in() -> Any:
        """`?next=` is the path of a page of ours."""
        wanted = ours(request.args.get("next"))
        if wanted.partition("?")[0] == "/sign-in":
            wanted = "/"
        if is_in():
            return redirect(at(wanted), 303)
        state = standing.ask()
        return renderer.page("sign_in.html", wanted=at(wanted), state=state, away=standing.away)

    @routes.get("/setup")
    @operation("Choose a password with a one-time link", {200: PAGE}, tag="people")
    def setup() -> Response:
        """The link's token is behind `#` and so in no request."""
        state = standing.ask()
        return renderer.page("setup.html", first=state is not None and state.needed, away=standing.away)

    @routes.get("/account")
    @operation("One's own account", {200: PAGE}, tag="people")
    def account() -> Response:
        return renderer.page("account.html")

    return routes

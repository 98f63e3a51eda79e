"""Django: one site, as an ASGI and as a WSGI application."""

from collections.abc import Iterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="only for tests",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()


def hello(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"hello": request.GET.get("name", "world")})


def echo(request: HttpRequest) -> HttpResponse:
    kind = request.META.get("CONTENT_TYPE") or "application/octet-stream"
    return HttpResponse(request.body, content_type=kind, headers={"x-method": request.method})


def rest(request: HttpRequest, rest: str) -> HttpResponse:
    return HttpResponse(rest, content_type="text/plain; charset=utf-8")


def form(request: HttpRequest) -> HttpResponse:
    upload = request.FILES.get("upload")
    size = upload.size if upload is not None else None
    return JsonResponse({"a": request.POST.get("a"), "size": size})


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("+".join(f"{k}={v}" for k, v in sorted(request.COOKIES.items())))
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return response


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        for number in range(5):
            yield b"%d" % number

    return StreamingHttpResponse(parts(), content_type="text/plain")


def error(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken on purpose")


def where(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"url": request.build_absolute_uri(), "path_info": request.path_info})


urlpatterns = [
    path("hello", hello),
    path("echo", echo),
    path("paths/<path:rest>", rest),
    path("form", form),
    path("cookies", cookies),
    path("stream", stream),
    path("error", error),
    path("where", where),
]

asgi = get_asgi_application()
wsgi = get_wsgi_application()

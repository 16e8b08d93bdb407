"""The addresses that the two real services would have, under this site's own, and the sandbox's control."""

from django.urls import path, re_path

from amazon_pilot.sandbox import apify, control, openai, pictures

APIFY = "apify/v2/"
urlpatterns = [
    path("control/", control.control),
    # "acts" is the older name of "actors"; an actor is written user~name.
    re_path(rf"^{APIFY}(?:actors|acts)/(?P<actor>[\w.~%-]+)/runs$", apify.actor_runs),
    path(f"{APIFY}actor-runs", apify.all_runs),
    path(f"{APIFY}actor-runs/<str:run_id>", apify.run_detail),
    path(f"{APIFY}actor-runs/<str:run_id>/abort", apify.abort),
    path(f"{APIFY}actor-runs/<str:dataset_id>/dataset/items", apify.items),
    path(f"{APIFY}actor-runs/<str:store_id>/key-value-store/records/INPUT", apify.run_input),
    path(f"{APIFY}datasets/<str:dataset_id>/items", apify.items),
    path(f"{APIFY}key-value-stores/<str:store_id>/records/INPUT", apify.run_input),
    path("pictures/<str:name>", pictures.picture),
    path("openai/v1/chat/completions", openai.chat_completions),
    path("openai/v1/responses", openai.responses),
]

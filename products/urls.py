"""Addresses, named after the views."""

from django.urls import path

from . import (
    bulk,
    bulk_all,
    exports,
    feed,
    held_views,
    history_views,
    home,
    hooks,
    rule_views,
    saved_views,
    seller_views,
    views,
    watchlist,
)
from .taking_in import views as taking_in

app_name = "products"
ONE = "products/<str:marketplace>/<str:asin>/"
urlpatterns = [
    path("", home.home, name="home"),
    path("hooks/apify/<uuid:ref>/<str:secret>/", hooks.apify, name="apify_hook"),
    path("changes/", feed.list_, name="changes"),
    path("changes/acknowledge/", feed.acknowledge, name="acknowledge"),
    path("products/", watchlist.list_, name="list"),
    path("products/bulk/", bulk.apply, name="bulk"),
    path("products/bulk/all/", bulk_all.look, name="bulk_all"),
    path("products/bulk/all/do/", bulk_all.do, name="bulk_do_all"),
    path("products/bulk/<int:pk>/undo/", bulk.undo, name="undo_bulk"),
    path("products/views/", saved_views.keep, name="keep_view"),
    path("products/views/<int:pk>/", saved_views.change, name="change_view"),
    path("products/views/<int:pk>/delete/", saved_views.delete, name="delete_view"),
    path("products/restore/", bulk.restore, name="restore"),
    path("products/resume/", views.resume, name="resume"),
    path("products/add/", taking_in.add, name="add"),
    path("products/add/usual/", rule_views.beginning, name="beginning"),
    path("products/add/look/", taking_in.look, name="look"),
    path("products/imports/<int:pk>/", taking_in.show, name="import"),
    path("products/imports/<int:pk>/take/", taking_in.take, name="take_import"),
    path("products/imports/<int:pk>/undo/", taking_in.undo, name="undo_import"),
    path("products/sellers/", seller_views.sellers, name="sellers"),
    path("products/sellers/<int:pk>/forget/", seller_views.forget, name="forget_seller"),
    path("products/rules/", rule_views.rules, name="rules"),
    path("products/rules/<int:pk>/", rule_views.rules, name="tag_rules"),
    path("products/held/", held_views.held, name="held"),
    path("products/held/<int:pk>/release/", held_views.release, name="release"),
    path("products/held/<int:pk>/discard/", held_views.discard, name="discard"),
    path("products/export/", exports.products, name="export"),
    path("changes/export/", exports.changes, name="changes_export"),
    path(ONE, views.detail, name="detail"),
    path(f"{ONE}picture/", views.picture, name="picture"),
    path(f"{ONE}status/", views.status, name="status"),
    path(f"{ONE}history.json", views.chart, name="chart"),
    path(f"{ONE}history/export/", exports.history, name="history_export"),
    path(f"{ONE}import/", history_views.import_history, name="import_history"),
    path(f"{ONE}refresh/", views.refresh, name="refresh"),
    path(f"{ONE}snooze/", rule_views.snooze, name="snooze"),
    path(f"{ONE}edit/", views.edit, name="edit"),
    path(f"{ONE}remove/", views.remove, name="remove"),
]

"""Addresses, named after the views."""

from django.urls import path

from . import exports, sharing, views

app_name = "analysis"
ONE = "products/<str:marketplace>/<str:asin>/suggestions/"
urlpatterns = [
    path("comparisons/", views.comparisons, name="comparisons"),
    path("comparisons/new/", views.compare, name="compare"),
    path("comparisons/<int:pk>/", views.comparison, name="comparison"),
    path("comparisons/<int:pk>/export/", exports.comparison, name="comparison_export"),
    path("comparisons/<int:pk>/ask/", views.ask_comparison, name="ask_comparison"),
    path("comparisons/<int:pk>/remove/", views.remove_comparison, name="remove_comparison"),
    path("comparisons/<int:pk>/share/", sharing.share, name="share"),
    path("comparisons/<int:pk>/share/end/", sharing.end_sharing, name="end_sharing"),
    path("shared/<str:word>/", sharing.shared, name="shared"),
    path(ONE, views.suggestions, name="suggestions"),
    path(f"{ONE}ask/", views.ask_suggestions, name="ask_suggestions"),
    path("suggestions/<int:pk>/decide/", views.decide, name="decide"),
]

"""Recommendation: histories of users matched with items by their texts, judged by what they liked later."""

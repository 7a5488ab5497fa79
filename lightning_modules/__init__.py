"""Backbone + head + loss as LightningModules."""

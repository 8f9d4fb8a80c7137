"""Pair files of others, and what a pair file is worth: conversion, summary, overlap, trivial classifiers."""

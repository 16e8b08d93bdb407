"""Small changes made to our code on purpose: do the fast tests of its area notice them?"""

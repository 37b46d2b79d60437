"""A local page with sliders: questions, the processes that answer them, and what keeps strangers out.

Needs the extra ``web``. `questions` turns what a page sends into a scenario, `work` answers it in a process of its own,
`workers` keeps two such processes warm, `guards` refuses requests that do not come from the page, `app` puts it together.
"""

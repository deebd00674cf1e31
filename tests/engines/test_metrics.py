"""Counters of a server: what is read from its page, and their growth over a run."""

from el4ner.engines.metrics import ServerCounts

PAGE = """# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0",model_name="a"} 1.2e+03
vllm:prefix_cache_queries_total{engine="1",model_name="a"} 800.0
vllm:prefix_cache_hits_total{engine="0",model_name="a"} 500.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="a"} 7.0
vllm:num_preemptions_total{engine="0",model_name="a"} 2.0
vllm:prompt_tokens_total{engine="0",model_name="a"} 2000.0
vllm:e2e_request_latency_seconds_bucket{engine="0",le="0.3"} 9.0
process_open_fds 39.0
"""


def test_counters_of_all_engines_are_added():
    counts = ServerCounts.read(PAGE)
    assert counts == ServerCounts(2000, 500, 2000, 0, 2)
    assert counts.as_dict()["prefix_cache_hit_rate"] == 0.25


def test_names_of_older_servers_have_no_ending():
    assert ServerCounts.read('vllm:prompt_tokens{model_name="a"} 5.0').prompt_tokens == 5


def test_growth_and_a_server_that_was_started_again_in_between():
    early, late = ServerCounts(100, 10, 100, 5, 0), ServerCounts(300, 110, 250, 9, 1)
    assert late.since(early) == ServerCounts(200, 100, 150, 4, 1)
    assert early.since(late) == early


def test_nothing_asked_is_no_rate():
    assert ServerCounts().as_dict()["prefix_cache_hit_rate"] is None

"""Conversations as text: templates without system role, without end-of-sequence sign, thinking, none at all."""

import pytest

from el4ner.errors import TemplateError
from el4ner.prompts.chat import PLAIN_END, ChatTemplate
from el4ner.prompts.messages import Message

TALK = (Message("system", "Rules."), Message("user", "One"), Message("assistant", "Two"), Message("user", "Three"))
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
FORGETFUL = (
    "{% for m in messages if m.role != 'system' %}"
    "{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else m.content + eos_token }}"
    "{% endfor %}"
)
GLM = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
THINKING = CHATML.replace(
    "assistant\n{% endif %}",
    "assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
)


def test_a_template_writes_the_prompt_up_to_the_answer():
    assert ChatTemplate(CHATML).render(TALK).endswith("<|im_start|>user\nThree<|im_end|>\n<|im_start|>assistant\n")


ENDS = {CHATML: "<|im_end|>", GEMMA: "<end_of_turn>", FORGETFUL: "</s>", GLM: "<|user|>", None: PLAIN_END}


@pytest.mark.parametrize(("source", "end"), ENDS.items())
def test_the_sign_that_ends_a_turn_is_the_template_s_own(source, end):
    assert ChatTemplate(source, bos="<bos>", eos="</s>").end == end


@pytest.mark.parametrize("source", [GEMMA, FORGETFUL])
def test_what_a_template_does_not_take_as_system_message_goes_to_the_first_question(source):
    template = ChatTemplate(source, bos="<bos>", eos="</s>")
    assert not template.supports_system_role
    assert "Rules.\n\nOne" in template.render(TALK)


def test_a_base_model_gets_the_same_content_as_plain_text():
    written = ChatTemplate(None, bos="<bos>").render(TALK)
    assert written == "<bos>Rules.\n\n### Input\nOne\n\n### Output\nTwo\n\n### Input\nThree\n\n### Output\n"
    solved = ChatTemplate(None, bos="<bos>").render(TALK[:3], answered=True)
    assert written.startswith(solved) and solved.endswith("Two" + PLAIN_END)


def test_line_ends_before_each_answer_belong_to_the_prompt():
    template = ChatTemplate(GLM.replace("<|assistant|>\n{% endif %}", "<|assistant|>{% endif %}"))
    assert template.render(TALK).endswith("<|assistant|>\nTwo<|user|>\nThree<|assistant|>\n")
    assert ChatTemplate(GLM).render(TALK) == template.render(TALK)


def test_plain_prompts_begin_with_a_token_only_where_the_tokenizer_puts_it():
    assert ChatTemplate(None, bos="<bos>", puts_bos=False).render(TALK).startswith("Rules")
    assert ChatTemplate("{{ bos_token }}" + CHATML, bos="<bos>", puts_bos=False).render(TALK).startswith("<bos>")


def test_templates_that_mark_what_is_learnt_or_ask_for_tools_are_understood():
    marked = CHATML.replace("{{ '<|im", "{% generation %}{{ '<|im").replace(
        "}}{% endfor", "}}{% endgeneration %}{% endfor"
    )
    asking = "{% if tools is not none or documents is not none %}Tools!{% endif %}"
    assert marked != CHATML
    assert ChatTemplate(asking + marked).render(TALK) == ChatTemplate(CHATML).render(TALK)


def test_thinking_is_switched_by_the_template_s_arguments():
    assert ChatTemplate(THINKING, arguments={"enable_thinking": False}).render(TALK).endswith("</think>\n\n")
    assert not ChatTemplate(THINKING, arguments={"enable_thinking": True}).render(TALK).endswith("</think>\n\n")


def test_a_broken_or_refusing_template_is_an_error_without_the_text():
    with pytest.raises(TemplateError, match="no valid Jinja"):
        ChatTemplate("{% for %}")
    refusing = ChatTemplate("{{ raise_exception('roles must alternate: ' + messages[0].content) }}")
    with pytest.raises(TemplateError) as refused:
        refusing.render(TALK)
    assert "Rules" not in str(refused.value) and "One" not in str(refused.value)


@pytest.mark.parametrize(
    "source", ["{{ 1 / 0 }}", "{{ messages[9].content }}{{ {}['a']['b'] }}", "{{ [1] * 10 ** 30 }}"]
)
def test_whatever_a_template_raises_is_a_template_error(source: str):
    with pytest.raises(TemplateError):
        ChatTemplate(source).render(TALK)


@pytest.mark.parametrize("source", ["{{ 'a' }}" * 200_000, "{{" + "(" * 50_000 + "1"])
def test_a_template_that_is_too_long_or_too_deep_is_refused(source: str):
    with pytest.raises(TemplateError):
        ChatTemplate(source)


def test_a_template_cannot_reach_python():
    with pytest.raises(TemplateError):
        ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}").render(TALK)

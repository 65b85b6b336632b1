from pipelines.encoders.tiny_tokenizer import make_tokenizer


def test_layout_is_clips() -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer("the ball")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id == len(tokenizer) - 2
    # Pooling finds the sentence's end by the highest token id.
    assert ids[-1] == tokenizer.eos_token_id == len(tokenizer) - 1
    assert tokenizer.convert_ids_to_tokens(ids[1:-1]) == ["the</w>", "ball</w>"]


def test_every_byte_has_a_token() -> None:
    tokenizer = make_tokenizer()
    for text in ("zqx", "ß", "漢字", "🎸", "a1!"):
        ids = tokenizer(text)["input_ids"][1:-1]
        assert ids
        assert not set(ids) & set(tokenizer.all_special_ids)
        assert tokenizer.decode(ids).replace(" ", "") == text


def test_is_made_the_same_every_time() -> None:
    assert (
        make_tokenizer().backend_tokenizer.to_str() == make_tokenizer().backend_tokenizer.to_str()
    )

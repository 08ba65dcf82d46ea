--- Pieces of names: what they match, and what is refused.
local pieces = require("fsam.vector.pieces")

local LAYER_1 = "bert.encoder.layer.1.attention.output.LayerNorm.bias"
local LAYER_10 = "bert.encoder.layer.10.output.dense.weight"
local WORDS = "bert.embeddings.word_embeddings.weight"
local POOLER = "bert.pooler.dense.bias"

local function matching(piece)
  local list = {}
  for _, name in ipairs({ LAYER_1, LAYER_10, WORDS, POOLER }) do
    if pieces.match(name, { piece }) then
      list[#list + 1] = name
    end
  end
  return list
end

describe("a piece of a name", function()
  it("matches where a component begins", function()
    assert.same({ LAYER_1, POOLER }, matching("bias"))
    assert.same({ LAYER_1 }, matching("LayerNorm"))
    assert.same({ WORDS }, matching("embed"))
    assert.same({ LAYER_1, LAYER_10, WORDS, POOLER }, matching("bert"))
    assert.same({ LAYER_1, LAYER_10 }, matching("encoder.layer."))
    assert.is_true(pieces.match("a.relative_attention_bias.weight", { "bias" }))
    assert.is_true(pieces.match("a_bias", { "_bias" }))
    assert.same({ LAYER_1, LAYER_10 }, matching(".output"))
    assert.same({ WORDS }, matching(WORDS))
    assert.same({}, matching("ias"))
    assert.same({}, matching("eddings"))
  end)

  it("takes a number as a whole", function()
    assert.same({ LAYER_1 }, matching("layer.1"))
    assert.same({ LAYER_1 }, matching("layer.1."))
    assert.same({ LAYER_10 }, matching("layer.10"))
    assert.same({}, matching("layer.0"))
    assert.same({ LAYER_1 }, matching("1"))
    assert.is_true(pieces.match("layer.10.layer.1", { "layer.1" })) -- the second place fits
  end)

  it("is plain text, and no piece matches nothing", function()
    assert.same({}, matching("b.as"))
    assert.is_false(pieces.match(WORDS, {}))
    assert.is_false(pieces.match(WORDS, nil))
  end)

  it("that is part of no name is refused, with the nearest", function()
    local list = { { name = WORDS }, { name = LAYER_1 }, { name = LAYER_10 } }
    pieces.check("--freeze", { "bert", "layer.1", "bias" }, list)
    assert.has_error(function() pieces.check("--freeze", { "bias", "bret" }, list) end,
      "--freeze bret is part of no parameter's name; did you mean bert? names look like " .. WORDS)
    assert.has_error(function() pieces.check("--no-decay", { "laeyr.1" }, list) end,
      "--no-decay laeyr.1 is part of no parameter's name; did you mean layer.1? names look like "
        .. WORDS)
    assert.has_error(function() pieces.check("--freeze", { "zzzzzzzz" }, list) end,
      "--freeze zzzzzzzz is part of no parameter's name; names look like " .. WORDS)
  end)
end)

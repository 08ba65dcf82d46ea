--- Packing: where every token, position, token type and ordinal lands, and what the tail holds.

local batch = require("fsam.data.packing")

local function list(array, n)
  local values = {}
  for i = 1, n do
    values[i] = array[i - 1]
  end
  return values
end

local function message_of(...)
  local ok, err = pcall(...)
  assert.is_false(ok)
  return tostring(err)
end

local SAMPLES = {
  { ids = { 2, 11, 12, 3 }, token_types = { 0, 0, 0, 0 }, label = 1 },
  { ids = { 2, 3 }, label = 0 },
  { ids = { 2, 21, 3, 22, 3 }, token_types = { 0, 0, 0, 1, 1 }, label = 2 },
}

describe("packing.pack", function()
  local packed = batch.pack(SAMPLES,
    { pad_id = 9, position_offset = 2, token_bucket = 8, sample_bucket = 4, first_ordinal = 5 })

  it("rounds capacities up and counts what is there", function()
    assert.equal(16, packed.tokens)
    assert.equal(11, packed.real_tokens)
    assert.equal(4, packed.samples)
    assert.equal(3, packed.count)
    assert.equal(5, packed.longest)
  end)

  it("lays samples end to end and fills the tail with the pad id and sample -1", function()
    assert.same({ 2, 11, 12, 3, 2, 3, 2, 21, 3, 22, 3, 9, 9, 9, 9, 9 }, list(packed.ids, 16))
    assert.same({ 2, 3, 4, 5, 2, 3, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0 }, list(packed.positions, 16))
    assert.same({ 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0 }, list(packed.token_types, 16))
    assert.same({ 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, -1, -1, -1, -1, -1 }, list(packed.sample, 16))
  end)

  it("repeats the end in starts for absent samples, numbers and labels the others", function()
    assert.same({ 0, 4, 6, 11, 11 }, list(packed.starts, 5))
    assert.same({ 5, 6, 7, 0 }, list(packed.ordinals, 4))
    assert.same({ 1, 0, 2, 0 }, list(packed.labels, 4))
  end)

  it("has no tail when the tokens fill the capacity, and default buckets of 32 and 8", function()
    local full = batch.pack(SAMPLES, { pad_id = 0, token_bucket = 11, sample_bucket = 3 })
    assert.equal(11, full.tokens)
    assert.equal(3, full.samples)
    assert.same({ 0, 4, 6, 11 }, list(full.starts, 4))
    assert.equal(2, full.sample[10])
    local default = batch.pack(SAMPLES, { pad_id = 0 })
    assert.equal(32, default.tokens)
    assert.equal(8, default.samples)
    assert.equal(0, default.positions[0])
    assert.equal(0, default.ordinals[0])
  end)

  it("keeps float targets for regression", function()
    local targets = batch.pack({ { ids = { 1 }, label = 0.25 } }, { pad_id = 0, regression = true })
    assert.equal(0.25, targets.targets[0])
    assert.is_nil(targets.labels)
  end)

  it("refuses nothing at all and samples without tokens", function()
    assert.matches("pack: samples has 0 elements, expected at least 1$",
      message_of(batch.pack, {}, { pad_id = 0 }))
    assert.matches("pack: samples%[2%]%.ids has 0 elements, expected at least 1$",
      message_of(batch.pack, { { ids = { 1 } }, { ids = {} } }, { pad_id = 0 }))
  end)
end)

describe("packing.choose", function()
  local packed = batch.pack(SAMPLES,
    { pad_id = 9, position_offset = 2, token_bucket = 8, sample_bucket = 2, first_ordinal = 5 })

  it("repacks the chosen samples with their ordinals and labels", function()
    local chosen = batch.choose(packed, { 3, 1 })
    assert.equal(16, chosen.tokens)
    assert.equal(9, chosen.real_tokens)
    assert.equal(2, chosen.samples)
    assert.same({ 2, 21, 3, 22, 3, 2, 11, 12, 3 }, list(chosen.ids, 9))
    assert.same({ 2, 3, 4, 5, 6, 2, 3, 4, 5 }, list(chosen.positions, 9))
    assert.same({ 0, 5, 9 }, list(chosen.starts, 3))
    assert.same({ 7, 5 }, list(chosen.ordinals, 2))
    assert.same({ 2, 1 }, list(chosen.labels, 2))
  end)

  it("keeps ordinals when choosing from what was chosen", function()
    assert.same({ 7 }, list(batch.choose(batch.choose(packed, { 2, 3 }), { 2 }).ordinals, 1))
  end)

  it("refuses an empty choice and places outside the batch", function()
    assert.matches("choose: chosen has 0 elements, expected at least 1$",
      message_of(batch.choose, packed, {}))
    assert.equal("batch: sample 4 is chosen, but the batch has 1 … 3",
      message_of(batch.choose, packed, { 1, 4 }))
  end)
end)

--- Tasks: encoding, limits, steps, the sampler of single samples, judging.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local ranks = require("fsam.ranks")
local tasks = require("fsam.data.task")

-- Words are numbers, which are their own ids.
local tokenizer = {
  encode = function(_, text)
    local ids = {}
    for id in text:gmatch("%d+") do
      ids[#ids + 1] = tonumber(id)
    end
    return ids
  end,
}

local function dataset(texts)
  local samples = {}
  for i, text in ipairs(texts) do
    samples[i] = { text = text, label = i % 2, group = i <= 2 and "first" or "rest" }
  end
  return { samples = samples }
end

local TRAIN = { "1 2", "3", "4 5 6", "7", "8 9", "10", "11 12 13 14 15", "16" }

local function new(options, train, dev, shared, also)
  options = options or {}
  options.seed = options.seed or 1
  options.batch_size = options.batch_size or 3
  return tasks.new({
    row = { labels = { "even", "odd" }, metrics = { "mcc", "accuracy", "f1", "loss" } },
    corpus = { name = "numbers", train = dataset(train or TRAIN),
      dev = dataset(dev or { "1", "2", "3 4" }), also = also },
    tokenizer = tokenizer, options = options,
    model = { max_positions = 4, position_offset = 2, pad_id = 9 }, ranks = shared,
  })
end

local function ids_of(host)
  local ids = {}
  for i = 0, host.real_tokens - 1 do
    ids[#ids + 1] = host.ids[i]
  end
  return table.concat(ids, " ")
end

describe("a task", function()
  it("leaves out training samples that are too long, and refuses others", function()
    local task = new()
    assert.same({ 7 }, task.skipped)
    assert.equal(8, #task.train)
    assert.equal(7, #task.usable)
    assert.has_error(function()
      new(nil, nil, { "1", "1 2 3 4 5" })
    end, "dev sample 2: the text has 5 tokens, the model takes 4 (1 such text); shorten it, "
      .. "or give --shorten-method truncate")
  end)

  it("cuts what is too long on request", function()
    local task = new({ shorten_method = "truncate" }, nil, { "1", "1 2 3 4 5" })
    assert.same({}, task.skipped)
    assert.same({ 1, 2, 3, 4 }, { unpack(task.dev[2].ids, 1, 9) })
    for _, sample in ipairs(task.train) do
      assert.is_true(#sample.ids <= 4)
    end
  end)

  it("names the line of a file, and a token that the model does not have", function()
    local train = { samples = { { text = "1", label = 0 } } }
    local function refused(text, model)
      local corpus = { name = "c", train = train, dev = { path = "dev.tsv", lines = { 2, 5 },
        samples = { { text = "1", label = 0 }, { text = text, label = 0 } } } }
      local ok, err = pcall(tasks.new, { row = { labels = { "a", "b" }, metrics = { "loss" } },
        corpus = corpus, model = model, options = { seed = 1, batch_size = 2 },
        tokenizer = { vocab_size = 9, token_of = function(_, id) return "<" .. id .. ">" end,
          encode = function(_, s)
            local ids = {}
            for id in s:gmatch("%d+") do
              ids[#ids + 1] = tonumber(id)
            end
            return ids
          end } })
      assert.is_false(ok)
      return tostring(err)
    end
    local model = { max_positions = 3, position_offset = 0, pad_id = 0, vocab_size = 8 }
    assert.equal("dev.tsv, line 5: the text has 4 tokens, the model takes 3 (1 such text); shorten "
      .. "it, or give --shorten-method truncate", refused("1 2 3 4", model))
    assert.equal("dev.tsv, line 5: the tokenizer's piece <8> has the id 8, the model's vocabulary "
      .. "ends at 7; tokenizer and model do not belong together", refused("1 8", model))
  end)

  it("takes a smaller limit from --max-positions, never a larger one", function()
    assert.same(4, #new({ max_positions = 1 }, nil, { "1" }).usable)
    assert.equal(7, #new({ max_positions = 100 }).usable)
  end)

  it("leaves out development samples that are too long where the flag says so", function()
    local task = new({ skip_invalid_size_inputs_valid_test = true }, nil,
      { "1", "1 2 3 4 5", "2 3", "1 2 3 4 5 6" })
    assert.equal(2, task.dev_skipped)
    assert.same({ { 1 }, { 2, 3 } }, { task.dev[1].ids, task.dev[2].ids })
    assert.same({ 1, 0 }, { task.dev[1].label, task.dev[2].label and 0 })
    local result = task:validate(function(host)
      local logits, losses = {}, {}
      for i = 1, host.count do
        logits[i], losses[i] = { [0] = 0, 1, 0 }, 1
      end
      return logits, losses
    end)
    assert.equal(3, result.tokens)
    assert.is_nil(new().dev_skipped)
    assert.has_error(function()
      new({ skip_invalid_size_inputs_valid_test = true }, nil, { "1 2 3 4 5" })
    end, "no development sample is left: all 1 have more than 4 tokens")
  end)

  it("cuts validation's batches by their own limits", function()
    assert.equal(3, #new({ batch_size = 3, batch_size_valid = 1 }).dev_batches)
    assert.equal(1, #new({ max_tokens = 4 }, nil, { "1", "2" }).dev_batches)
    assert.equal(2, #new({ max_tokens = 4, max_tokens_valid = 1 }, nil, { "1", "2" }).dev_batches)
  end)

  it("cuts in the file's order with --no-shuffle, and shuffles after --curriculum", function()
    local plain = new({ no_shuffle = true })
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 }, { 8 } }, plain.batches)
    local task = new({ batch_size = 1, curriculum = 2 })
    local function flat(epoch)
      local list = {}
      for i, step in ipairs(task:steps(epoch)) do
        list[i] = step[1][1]
      end
      return list
    end
    local frozen = {}
    for i, batch in ipairs(task.batches) do
      frozen[i] = batch[1]
    end
    assert.same(frozen, flat(1))
    assert.same(frozen, flat(2))
    assert.are_not.same(frozen, flat(3))
  end)

  it("has as many updates as each epoch's --update-freq gives", function()
    local task = new({ batch_size = 1, update_freq = { 4, 2 } }) -- 7 batches
    assert.same({ 0, 2, 6, 10, 2 + 9 * 4 }, { task:updates(0), task:updates(1), task:updates(2),
      task:updates(3), task:updates(10) })
    assert.equal(math.huge, task:updates(math.huge))
    assert.same({ 2, 4, 4 }, { #task:steps(1), #task:steps(2), #task:steps(3) })
  end)

  it("numbers the samples of a step over its micro-batches", function()
    local task = new({ update_freq = 2 })
    assert.equal(2, task.steps_per_epoch)
    local steps, total = task:steps(1), 0
    assert.equal(2, #steps)
    for _, step in ipairs(steps) do
      local list, samples, tokens = task:micro_batches(step)
      local ordinal, counted = 0, 0
      for _, host in ipairs(list) do
        for b = 0, host.count - 1 do
          assert.equal(ordinal, host.ordinals[b])
          ordinal = ordinal + 1
        end
        counted = counted + host.real_tokens
        assert.equal(2, host.positions[0])
      end
      assert.equal(samples, ordinal)
      assert.equal(tokens, counted)
      total = total + samples
    end
    assert.equal(7, total)
  end)

  it("shares a step's batches among ranks; ordinals, samples and tokens are the step's", function()
    local whole = new({ batch_size = 2, update_freq = 4 })
    local members = {}
    for rank = 0, 1 do
      members[rank + 1] = new({ batch_size = 2, update_freq = 2 }, nil, nil,
        ranks.new({ rank = rank, size = 2 }))
      assert.equal(whole.steps_per_epoch, members[rank + 1].steps_per_epoch)
    end
    for n, step in ipairs(whole:steps(1)) do
      local list, samples, tokens = whole:micro_batches(step)
      local texts, taken = {}, 0
      for _, host in ipairs(list) do
        texts[host.ordinals[0]] = ids_of(host)
      end
      for _, task in ipairs(members) do
        local own, all_samples, all_tokens = task:micro_batches(task:steps(1)[n])
        assert.same({ samples, tokens }, { all_samples, all_tokens })
        assert.is_true(#own <= 2)
        for _, host in ipairs(own) do
          assert.equal(texts[host.ordinals[0]], ids_of(host))
          taken = taken + host.count
        end
      end
      assert.equal(samples, taken)
    end
  end)

  it("has a fingerprint of its data", function()
    assert.equal(new().fingerprint, new({ seed = 2, batch_size = 2 }).fingerprint)
    local other = { unpack(TRAIN) }
    other[8] = "17"
    assert.is_not.equal(new().fingerprint, new(nil, other).fingerprint)
    assert.matches("^%x%x%x%x%x%x%x%x$", new().fingerprint)
  end)
end)

describe("the sampler", function()
  local function draw(n, seed, step)
    local texts = {}
    for i, host in ipairs(new():sampler()(n, seed, step, 5)) do
      assert.equal(1, host.count)
      assert.equal(4 + i, host.ordinals[0])
      texts[i] = ids_of(host)
    end
    return texts
  end

  it("draws without replacement, never a sample that was left out", function()
    local texts = draw(7, 1, 0)
    table.sort(texts)
    assert.same({ "1 2", "10", "16", "3", "4 5 6", "7", "8 9" }, texts)
    assert.equal(7, #draw(32, 1, 0))
  end)

  it("is keyed by seed and step", function()
    assert.same(draw(5, 1, 100), draw(5, 1, 100))
    assert.is_not.same(draw(5, 1, 100), draw(5, 1, 200))
    assert.is_not.same(draw(5, 1, 100), draw(5, 2, 100))
  end)

  it("draws every sample equally often", function()
    local counts, sample = {}, new():sampler()
    for step = 1, 700 do
      local text = ids_of(sample(2, 3, step)[2])
      counts[text] = (counts[text] or 0) + 1
    end
    local kinds = 0
    for _, count in pairs(counts) do
      kinds = kinds + 1
      assert.is_true(count > 65 and count < 140, tostring(count)) -- 100 ± 4 deviations
    end
    assert.equal(7, kinds)
  end)
end)

describe("judging", function()
  it("gives each sample its own prediction, by metric and group", function()
    local task = new(nil, nil, { "1", "2", "3", "4", "5" })
    -- The class is the parity of the first id, but 5 is misjudged.
    local result = task:validate(function(host)
      local logits, losses = {}, {}
      for i, sample in ipairs(host.list) do
        local odd = sample.ids[1] % 2 == 1 and sample.ids[1] ~= 5
        logits[i], losses[i] = odd and { 0, 1 } or { 1, 0 }, sample.ids[1]
      end
      return logits, losses
    end)
    assert.near(0.8, result.values.accuracy, 1e-12)
    assert.near(3, result.values.loss, 1e-12)
    assert.same({ first = 1, rest = 2 / 3 }, result.groups)
    assert.is_nil(result.collapsed)
  end)

  it("names the only class that was predicted", function()
    local result = new():validate(function(host)
      local logits, losses = {}, {}
      for i in ipairs(host.list) do
        logits[i], losses[i] = { 0, 1 }, 1
      end
      return logits, losses
    end)
    assert.equal("odd", result.collapsed)
  end)

  it("gives a sample whose logits are not numbers no class", function()
    local calls = 0
    local result = new({ batch_size = 1 }):validate(function()
      calls = calls + 1
      return { calls == 1 and { 0 / 0, 0 / 0 } or { 0, 1 } }, { 0.5 }
    end)
    for _, name in ipairs({ "mcc", "accuracy", "f1" }) do
      assert.is_true(result.values[name] ~= result.values[name])
    end
    assert.equal(0.5, result.values.loss)
    assert.is_nil(result.collapsed)
    local lost = 0
    for _, value in pairs(result.groups) do
      lost = lost + (value ~= value and 1 or 0)
    end
    assert.equal(1, lost)
  end)

  it("judges further sets by the same metrics, and refuses what is too long there", function()
    local function always_odd(host)
      local logits, losses = {}, {}
      for i in ipairs(host.list) do
        logits[i], losses[i] = { 0, 1 }, 2
      end
      return logits, losses
    end
    local result = new(nil, nil, nil, nil, { other = dataset({ "1", "2", "3", "4 5", "6" }) })
      :validate(always_odd)
    assert.near(2 / 3, result.values.accuracy, 1e-12)
    assert.near(3 / 5, result.also.other.accuracy, 1e-12)
    assert.equal(2, result.also.other.loss)
    assert.is_nil(new():validate(always_odd).also)
    assert.has_error(function()
      new(nil, nil, nil, nil, { other = dataset({ "1", "1 2 3 4 5" }) })
    end, "other sample 2: the text has 5 tokens, the model takes 4 (1 such text); shorten it, or "
      .. "give --shorten-method truncate")
  end)

  it("can be stopped", function()
    assert.is_nil(new():validate(function()
      return { { 0, 1 }, { 0, 1 }, { 0, 1 } }, { 1, 1, 1 }
    end, function()
      return true
    end))
  end)

  it("shares its batches out among ranks as fairseq does", function()
    local cases = json.decode(helper.read_file("spec/golden/ranks_order.json"), "ranks_order.json")
    for _, case in ipairs(cases) do
      local count, size, seed, members, update_freq, epochs, expected = unpack(case)
      local texts, got = {}, {}
      for i = 1, count do
        texts[i] = tostring(i - 1)
      end
      for rank = 0, members - 1 do
        local task = new({ batch_size = size, seed = seed, update_freq = update_freq }, texts, nil,
          ranks.new({ rank = rank, size = members }))
        for epoch = 1, epochs do
          got[epoch] = got[epoch] or {}
          for n, step in ipairs(task:steps(epoch)) do
            got[epoch][n] = got[epoch][n] or {}
            got[epoch][n][rank + 1] = {}
            for k, host in ipairs((task:micro_batches(step))) do
              local batch = {}
              for id in ids_of(host):gmatch("%d+") do
                batch[#batch + 1] = tonumber(id)
              end
              got[epoch][n][rank + 1][k] = batch
            end
          end
        end
      end
      assert.same(expected, got)
    end
  end)
end)

--- The built-in corpus: sizes, balance, reproducibility, vocabulary, and that neither words nor
-- word pairs give the label away, by logistic regressions (bag_regression.lua).

local acceptability = require("fsam.data.acceptability")
local bag = require("spec.lua.bag_regression")

local corpus = acceptability.generate()

local FEATURES, regress, words_of = bag.FEATURES, bag.regress, bag.words_of

local function joined(dataset)
  local lines = {}
  for i, sample in ipairs(dataset.samples) do
    lines[i] = sample.label .. "\t" .. sample.group .. "\t" .. sample.text
  end
  return table.concat(lines, "\n")
end

describe("the acceptability corpus", function()
  it("has CoLA's sizes, label names and six phenomena in equal parts", function()
    assert.equal(8551, #corpus.train.samples)
    assert.equal(1043, #corpus.dev.samples)
    assert.same({ "unacceptable", "acceptable" }, corpus.train.labels)
    for _, dataset in ipairs({ corpus.train, corpus.dev }) do
      local count = {}
      for _, sample in ipairs(dataset.samples) do
        count[sample.group] = (count[sample.group] or 0) + 1
      end
      for _, phenomenon in ipairs(acceptability.phenomena) do
        assert.is_true(math.abs(count[phenomenon] - #dataset.samples / 6) <= 2)
        count[phenomenon] = nil
      end
      assert.is_nil(next(count))
    end
  end)

  it("balances the labels within each phenomenon", function()
    for _, dataset in ipairs({ corpus.train, corpus.dev }) do
      local surplus = {}
      for _, sample in ipairs(dataset.samples) do
        local phenomenon = sample.group
        surplus[phenomenon] = (surplus[phenomenon] or 0) + (sample.label == 1 and 1 or -1)
      end
      local total = 0
      for _, phenomenon in ipairs(acceptability.phenomena) do
        assert.is_true(surplus[phenomenon] == 0 or surplus[phenomenon] == 1)
        total = total + surplus[phenomenon]
      end
      assert.equal(1, total) -- both sizes are odd
    end
  end)

  it("repeats no sentence, within a set or across the two", function()
    local seen = {}
    for _, dataset in ipairs({ corpus.dev, corpus.train }) do
      for _, sample in ipairs(dataset.samples) do
        assert.is_nil(seen[sample.text])
        seen[sample.text] = true
      end
    end
  end)

  it("is the same for the same seed and another for another", function()
    local again = acceptability.generate({ seed = 1 })
    assert.equal(joined(corpus.train), joined(again.train))
    assert.equal(joined(corpus.dev), joined(again.dev))
    local other = acceptability.generate({ seed = 2, train = 100, dev = 50 })
    assert.not_equal(joined(corpus.dev):sub(1, 200), joined(other.dev):sub(1, 200))
  end)

  it("keeps the development set when the training set has another size", function()
    local small = acceptability.generate({ train = 60 })
    assert.equal(60, #small.train.samples)
    assert.equal(joined(corpus.dev), joined(small.dev))
  end)

  it("says so when more sentences are asked for than the grammar has", function()
    local phenomena = require("fsam.data.acceptability.phenomena")
    local argument = phenomena.argument
    phenomena.argument = function(d)
      local verb = d:past("transitive")
      return verb, "not " .. verb
    end
    local ok, err = pcall(acceptability.generate, { train = 600, dev = 0 })
    phenomena.argument = argument
    assert.is_false(ok)
    assert.equal("the acceptability corpus has too few argument sentences for the sizes asked "
      .. "for; ask for fewer", tostring(err))
  end)

  it("is covered by its vocabulary of about 120 pieces, cut as greedy WordPiece cuts", function()
    local ids = {}
    for i, piece in ipairs(corpus.vocab) do
      assert.is_nil(ids[piece])
      ids[piece] = i - 1
    end
    assert.is_true(#corpus.vocab >= 100 and #corpus.vocab <= 130)
    assert.same({ 0, 1, 2, 3, 4 }, { ids["[PAD]"], ids["[UNK]"], ids["[CLS]"], ids["[SEP]"],
      ids["[MASK]"] })
    local function cut(word)
      local pieces, from = {}, 1
      while from <= #word do
        local to = #word
        local prefix = from > 1 and "##" or ""
        while to >= from and not ids[prefix .. word:sub(from, to)] do
          to = to - 1
        end
        assert(to >= from, word)
        pieces[#pieces + 1] = prefix .. word:sub(from, to)
        from = to + 1
      end
      return pieces
    end
    assert.same({ "key", "##s" }, cut("keys"))
    assert.same({ "greet", "##ed" }, cut("greeted"))
    local used = {}
    for _, dataset in ipairs({ corpus.train, corpus.dev }) do
      for _, sample in ipairs(dataset.samples) do
        for _, word in ipairs(words_of(sample.text)) do
          local pieces = cut(word)
          assert.is_true(#pieces <= 2 and (#pieces == 1 or pieces[2] == "##s"
            or pieces[2] == "##ed"))
          for _, piece in ipairs(pieces) do
            used[piece] = true
          end
        end
      end
    end
    for i = 6, #corpus.vocab do
      assert.is_true(used[corpus.vocab[i]], corpus.vocab[i])
    end
  end)
end)

describe("a logistic regression", function()
  it("on words stays under MCC 0.2", function()
    local result, norm = regress(corpus, FEATURES.words)
    assert.is_true(norm < 1e-3)
    assert.is_true(result < 0.2, result)
  end)

  it("on neighbouring words stays under MCC 0.5", function()
    local result, norm = regress(corpus, FEATURES.neighbours)
    assert.is_true(norm < 1e-3)
    assert.is_true(result < 0.5, result)
  end)

  it("on any two words of a sentence stays under MCC 0.5", function()
    local result, norm = regress(corpus, FEATURES.together)
    assert.is_true(norm < 1e-3)
    assert.is_true(result < 0.5, result)
  end)

  -- The controls: where something gives the label away, these regressions find it.
  it("finds a planted word", function()
    local function planted(dataset)
      local samples = {}
      for i, sample in ipairs(dataset.samples) do
        samples[i] = { text = sample.text .. (sample.label == 1 and " indeed" or ""),
          label = sample.label }
      end
      return { samples = samples }
    end
    local data = { train = planted(corpus.train), dev = planted(corpus.dev) }
    assert.is_true(regress(data, FEATURES.words) > 0.9)
  end)

  it("finds a planted order of two words, but not by words alone", function()
    local function planted(dataset)
      local samples = {}
      for i, sample in ipairs(dataset.samples) do
        samples[i] = { text = sample.text .. (sample.label == 1 and " so be it" or " so it be"),
          label = sample.label }
      end
      return { samples = samples }
    end
    local data = { train = planted(corpus.train), dev = planted(corpus.dev) }
    assert.is_true(regress(data, FEATURES.neighbours) > 0.9)
    assert.is_true(regress(data, FEATURES.words) < 0.2)
  end)
end)

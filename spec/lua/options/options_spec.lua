--- The command line: declarations, spelling, ranges, answers; and the flags that recipes share.

local options = require("fsam.options")
local flags = require("fsam.train.flags")
local fsam_sam = require("fsam.sam")

local DECLARED = {
  { name = "lr", type = "number", default = 1e-5, above = 0, group = "Optimizer", help = "rate" },
  { name = "keep_ratio", type = "number", default = 0.1, min = 0, max = 1, help = "share" },
  { name = "max_epoch", type = "integer", default = 10, min = 1, help = "epochs" },
  { name = "betas", type = "list", of = "number", count = 2, default = { 0.9, 0.98 }, help = "b" },
  { name = "freeze", type = "list", default = {}, help = "names" },
  { name = "form", type = "choice", choices = { "fairseq", "torch" }, default = "fairseq" },
  { name = "optimizer", type = "choice", choices = { "adam", "sam", "sgd" },
    same = { samsgd = "sam" }, default = "sam" },
  { name = "preset", type = "choice", choices = { "fairseq", "hf" }, default = "fairseq",
    implies = { fairseq = { form = "fairseq" }, hf = { form = "torch" } } },
  { name = "restart", type = "flag", help = "begin anew" },
  { name = "patience", type = "integer", default = 0, min = -1, alias = { "wait" } },
}

local function read(...)
  return options.read({ ... }, {
    name = "test.lua", usage = "test.lua [DATA] [flags]", flags = DECLARED,
    positional = { name = "data", metavar = "DATA", help = "a folder" },
  })
end

local function refuses(message, ...)
  local words = { ... }
  assert.has_error(function()
    read(unpack(words))
  end, message)
end

describe("values", function()
  it("are the defaults where nothing is given", function()
    local o = read()
    assert.equal(1e-5, o.lr)
    assert.equal(10, o.max_epoch)
    assert.same({ 0.9, 0.98 }, o.betas)
    assert.is_false(o.restart)
    assert.is_nil(o.data)
    assert.same({}, o.given)
  end)

  it("are read after a space or an equals sign, with dashes or underscores", function()
    for _, words in ipairs({ { "--max-epoch", "3" }, { "--max-epoch=3" }, { "--max_epoch", "3" },
      { "--max_epoch=3" } }) do
      local o = read(unpack(words))
      assert.equal(3, o.max_epoch)
      assert.same({ max_epoch = true }, o.given)
    end
    assert.equal(-1, read("--patience", "-1").patience)
    assert.equal(2, read("--wait", "2").patience)
    assert.equal(5e-5, read("data", "--lr", "5e-5", "--restart").lr)
    assert.equal("data", read("--restart", "data").data)
  end)

  it("come last of those that are given twice", function()
    assert.equal(4, read("--max-epoch", "3", "--max-epoch", "4").max_epoch)
  end)

  it("are lists in Python's spelling too", function()
    assert.same({ 0.8, 0.9 }, read("--betas", "(0.8, 0.9)").betas)
    assert.same({ 0.8, 0.9 }, read("--betas", "0.8,0.9").betas)
    assert.same({ "embeddings", "layer.0." }, read("--freeze", "embeddings,layer.0.").freeze)
    assert.same({}, read("--freeze", "none").freeze)
  end)

  it("know other spellings of a choice", function()
    assert.equal("sam", read("--optimizer", "samsgd").optimizer)
  end)

  it("set the defaults of other flags, not what was given", function()
    assert.equal("torch", read("--preset", "hf").form)
    assert.equal("fairseq", read("--preset", "hf", "--form", "fairseq").form)
  end)
end)

describe("bad values", function()
  it("are refused in one line each", function()
    refuses("--keep-ratio 2 is out of range; it must be from 0 to 1", "--keep-ratio", "2")
    refuses("--lr 0 is out of range; it must be above 0", "--lr", "0")
    refuses("--max-epoch 0 is out of range; it must be at least 1", "--max-epoch=0")
    refuses("--lr fast is not a number", "--lr", "fast")
    refuses("--lr nan is not a number", "--lr", "nan")
    refuses("--max-epoch 1.5 is not a whole number", "--max-epoch", "1.5")
    refuses("--betas 0.9 has 1 value, expected 2 separated by a comma", "--betas", "0.9")
    refuses("--optimizer adamw is unknown; did you mean adam? (adam, sam, sgd)", "--optimizer",
      "adamw")
    refuses("--lr needs a value", "--lr")
    refuses("--lr needs a value", "--lr", "--restart")
    refuses("--restart takes no value", "--restart=1")
    refuses("--optimizer is empty; it takes one of adam, sam, sgd", "--optimizer", "")
    refuses("--lr -run: a value that begins with a dash is written --lr=-run", "--lr", "-run")
    refuses("-x is unknown; flags begin with two dashes (--help lists them all), and a path that "
      .. "begins with one is written ./-x", "-x")
    -- As they stand in pages and in texts of a word processor.
    for _, word in ipairs({ "—lr", "–lr", "-–lr", "−−lr" }) do
      refuses(word .. " begins with a dash that is not the hyphen -; flags begin with two hyphens, "
        .. "which must be typed", word, "1")
    end
    refuses("--lr 1e−5 is not a number; its dash is not the hyphen -, which must be typed", "--lr",
      "1e−5")
    refuses("more than one word that is not a flag; quote paths with spaces (--help shows the "
      .. "usage)", "a", "b")
  end)

  it("of a name suggest the nearest", function()
    refuses("--max-epochs is unknown; did you mean --max-epoch? (--help lists all flags)",
      "--max-epochs", "3")
    refuses("--zzzzzzzzz is unknown (--help lists all flags)", "--zzzzzzzzz")
  end)
end)

describe("other programs' flags", function()
  it("of Hugging Face are answered with ours", function()
    refuses("--learning_rate is Hugging Face's name; here it is --lr", "--learning_rate", "5e-5")
    refuses("--learning-rate is Hugging Face's name; here it is --lr", "--learning-rate=5e-5")
    refuses("--num_train_epochs is Hugging Face's name; here it is --max-epoch",
      "--num_train_epochs", "3")
    refuses("--output_dir is Hugging Face's name; here it is --save-dir", "--output_dir", "x")
  end)

  it("of fairseq are accepted where they say what is so", function()
    local o = read("--task", "sentence_prediction", "--init-token", "0", "--fp16-no-flatten-grads",
      "--find-unused-parameters", "--num-classes=2", "--lr", "1e-3")
    assert.equal(1e-3, o.lr)
    refuses("--task masked_lm is not offered here (sentence_prediction)", "--task", "masked_lm")
  end)

  it("that are not offered say what to do", function()
    refuses("--fp16 is not offered, since fp16 needs loss scaling; use --precision bf16 or fp32",
      "--fp16")
    refuses("--cpu is --device cpu here", "--cpu")
  end)
end)

describe("declarations", function()
  it("have a short form for numbers", function()
    local list = options.declare({ rho = 0.5, eta = 0.01 }, { group = "Type" })
    assert.same({ "eta", "rho" }, { list[1].name, list[2].name })
    assert.same({ name = "rho", type = "number", default = 0.5, group = "Type" }, list[2])
  end)
end)

describe("--help", function()
  it("groups and explains the flags, with defaults", function()
    local text = read("--help").help
    assert.matches("usage: test.lua [DATA] [flags]", text, 1, true)
    assert.matches("Optimizer:\n  --lr X", text, 1, true)
    assert.matches("rate (default 1e-05)", text, 1, true)
    assert.matches("--betas A,B", text, 1, true)
    assert.matches("b (default 0.9,0.98)", text, 1, true)
    assert.matches("--form fairseq|torch", text, 1, true)
    for line in text:gmatch("[^\n]+") do
      assert.is_true(#line <= 100, line)
    end
  end)
end)

describe("the flags of a training recipe", function()
  local spec = flags.spec({
    name = "cola.lua", usage = "cola.lua", task = "cola",
    profiles = {
      { label = "for the built-in corpus", values = { lr = 7e-4, rho = 0.02 },
        when = function(given)
          return not given.restore_file
        end },
    },
  })

  local function recipe(...)
    return options.read({ ... }, spec)
  end

  local function recipe_refuses(message, ...)
    local words = { ... }
    assert.has_error(function()
      recipe(unpack(words))
    end, message)
  end

  it("take the FSAM fork's command with one word changed", function()
    local o = recipe("CoLA", "--restore-file", "roberta.large", "--max-positions", "512",
      "--batch-size", "32", "--max-tokens", "4400", "--task", "sentence_prediction",
      "--reset-optimizer", "--reset-dataloader", "--reset-meters",
      "--required-batch-size-multiple", "1", "--init-token", "0", "--separator-token", "2",
      "--arch", "roberta_large", "--criterion", "sentence_prediction",
      "--add-prev-output-tokens", "--layernorm-embedding", "--num-classes", "2", "--dropout", "0.1",
      "--attention-dropout", "0.1", "--weight-decay", "0.01", "--optimizer", "samsgd",
      "--sam-type", "fisher-sam", "--mask-iter-e", "100", "--rho", "0.05", "--adam-betas",
      "(0.9, 0.98)", "--adam-eps", "1e-06", "--clip-norm", "0.0", "--lr-scheduler",
      "polynomial_decay", "--lr", "1e-05", "--total-num-update", "2668", "--warmup-updates", "160",
      "--fp16-no-flatten-grads", "--max-epoch", "10", "--find-unused-parameters",
      "--no-epoch-checkpoints", "--save-dir", "out", "--log-format", "json", "--log-interval",
      "100", "--best-checkpoint-metric", "accuracy", "--maximize-best-checkpoint-metric")
    assert.equal("sam", o.optimizer)
    assert.equal("fisher-sam", o.sam_type)
    assert.same({ 0.9, 0.98 }, o.adam_betas)
    assert.equal(1e-5, o.lr)
    assert.equal(2668, o.total_num_update)
    assert.equal("CoLA", o.data)
  end)

  it("have their profile's defaults, others with a pretrained model", function()
    assert.equal(7e-4, recipe().lr)
    assert.equal(0.02, recipe().rho)
    assert.equal(1e-5, recipe("--restore-file", "m").lr)
    assert.equal(0.05, recipe("--restore-file", "m").rho)
    assert.equal(1e-3, recipe("--lr", "1e-3").lr)
  end)

  it("take each optimizer's own default where two declare one name", function()
    assert.equal("decoupled", recipe("--optimizer", "adam").decay)
    assert.equal("coupled", recipe("--optimizer", "sgd").decay)
    assert.equal("decoupled", recipe("--optimizer", "sgd", "--decay", "decoupled").decay)
  end)

  it("include those of a type that the recipe defines", function()
    fsam_sam.define("spec-type", { options = { rho = 0.5, eta = 0.01 }, ascend = function(s)
      return s.g * s.rho
    end })
    local own = flags.spec({ name = "own.lua", task = "cola" })
    local o = options.read({ "--sam-type", "fisher-spec-type", "--eta", "0.2" }, own)
    assert.equal(0.5, o.rho)
    assert.equal(0.2, o.eta)
    assert.equal(0.1, o.keep_ratio)
    assert.equal(0.05, options.read({}, own).rho)
    assert.matches("(default 0.05)", options.read({ "--help" }, own).help, 1, true)
    assert.matches("spec-type 0.5", options.read({ "--help" }, own).help, 1, true)
  end)

  it("list what sam-types declare", function()
    local text = recipe("--help").help
    assert.matches("--rho X", text, 1, true)
    assert.matches("--keep-ratio X", text, 1, true)
    assert.matches("(default 1e-05; 0.0007 for the built-in corpus)", text, 1, true)
  end)

  it("are checked against each other", function()
    recipe_refuses("--keep-ratio 2 is out of range; it must be above 0 and at most 1",
      "--keep-ratio", "2")
    recipe_refuses("--sam-type sam goes with --optimizer sam; --optimizer adam is plain adam",
      "--optimizer", "adam", "--sam-type", "sam")
    recipe_refuses("--best-checkpoint-metric mmc is unknown; did you mean mcc? "
      .. "(mcc, accuracy, f1, loss)", "--best-checkpoint-metric", "mmc")
    recipe_refuses("CoLA needs --restore-file, a pretrained model with its vocabulary", "CoLA")
    recipe_refuses("CoLA needs --restore-file, a pretrained model with its vocabulary; --arch has "
      .. "no vocabulary for your texts", "CoLA", "--arch", "bert_base")
    recipe_refuses("--valid-only needs --restore-file, the model to validate", "--valid-only")
    recipe_refuses("--restart needs --save-dir; without it every run has a new folder", "--restart")
    recipe_refuses("--base-optimizer adm is unknown; did you mean adam? (adam, lamb, lion, "
      .. "sgd)",
      "--base-optimizer", "adm")
    recipe_refuses("--fisher bach is unknown; did you mean batch? (adam, batch, magnitude, random, "
      .. "sample)", "--fisher", "bach")
  end)

  it("are numbers that every part can take", function()
    local f32 = " is out of range: it is no f32 number (1.4e-45 to 3.4e38, or 0)"
    recipe_refuses("--rho 1e39" .. f32, "--rho", "1e39")
    recipe_refuses("--adam-eps 1e-50" .. f32, "--adam-eps", "1e-50")
    recipe_refuses("--adam-betas 1e-60" .. f32, "--adam-betas", "0.9,1e-60")
    recipe_refuses("--dropout 0.9999999 is out of range; it must be from 0 to 0.9999", "--dropout",
      "0.9999999")
    recipe_refuses("--threads 9007199254740992 is out of range; it must be from 0 to 4096",
      "--threads", "9007199254740992")
    recipe_refuses("--seed 4294967296 is out of range; it must be from 0 to 4294967295", "--seed",
      "4294967296")
    recipe_refuses("--seed 4294967290 is out of range with --max-epoch 6: epoch e is drawn from "
      .. "seed + e, at most 4294967295", "--seed", "4294967290", "--max-epoch", "6")
    assert.equal(4294967290, recipe("--seed", "4294967290", "--max-epoch", "5").seed)
  end)

  it("say which have no effect", function()
    assert.same({}, recipe("--optimizer", "sgd", "--nesterov", "--momentum", "0.9").notes)
    assert.same({ "--momentum has no effect with adam + fisher-sam" },
      recipe("--momentum", "0.9").notes)
    assert.same({ "--keep-ratio has no effect with adam" },
      recipe("--optimizer", "adam", "--keep-ratio", "0.5").notes)
  end)

  it("name the nearest sam-type", function()
    local ok, err = pcall(recipe, "--sam-type", "fishersam")
    assert.is_false(ok)
    assert.matches("^%-%-sam%-type fishersam is unknown; did you mean fisher%-sam%? %(",
      tostring(err))
  end)
end)

import { testProxy } from './suite.ts'

testProxy('varnish', { refusal: 'during the upload', isUploadStreamed: true, hasPaths: true, hasTls: false })
